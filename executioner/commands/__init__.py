"""Use cases: what each command of the command line does, from its options to its exit code."""
