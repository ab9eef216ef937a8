"""mlosctl, the command line. Sees mlosd.client, mlosd.wire and mlosd.core only, so that it starts fast."""
