"""The command line's commands, one a file, each with `run(arguments, reporter) -> exit code`.

Nothing here imports torch before a command knows that it has to compute.
"""
