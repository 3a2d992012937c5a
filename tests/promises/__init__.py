"""The big proofs: each shows one promise of the data path on real processes, at full size by `make promises`."""
