"""Says what works on this machine, by trying it: `mlosctl doctor`. Changes nothing and leaves nothing behind."""
