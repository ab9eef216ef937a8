"""mlosd: a Linux OS-level runtime for machine learning."""

__version__ = "0.1.0"
