"""How fast norse is, beside other libraries on the same machine in the same run: `make bench`."""
