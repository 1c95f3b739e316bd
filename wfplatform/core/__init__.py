"""The domain: workflows, executions and the rules by which their states change. Pure, standard library only."""
