"""From a definition and what is known of an execution to what is to run now. Refuses to run anything."""
