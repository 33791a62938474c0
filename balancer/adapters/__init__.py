"""One third-party library each, behind an interface of ours; imported only where it is used."""
