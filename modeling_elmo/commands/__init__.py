"""The sub-commands of `elmo`, see modeling_elmo/cli.py."""
