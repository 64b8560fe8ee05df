"""Many short runs under equal conditions: what demo.py and sweep.py share."""
