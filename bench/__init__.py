"""The benchmark: ours, the reference, peers and what the machine allows. `python -m bench --help`."""
