"""hybridkit: learn, run and reproduce hybrid batch training of multilingual dense retrievers."""

__version__ = "0.1.0"
