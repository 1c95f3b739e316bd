"""Ready-made nodes, one file a family. They run on workers, and import there what they need when they run."""
