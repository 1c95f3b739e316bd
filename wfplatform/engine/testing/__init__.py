"""What tests of workflows and of the engine use instead of real parts; shipped to users. Import from its modules."""
