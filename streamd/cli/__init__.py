"""One module per group of commands: `add(subparsers)` declares them, `run(args)` gives the exit code."""
