"""The undo log, and undoing what is in it. Standard library only, and nothing of the rest of mlosd.

Three restorers share this code, so that they cannot disagree: the daemon, the helper that systemd runs when the daemon
is gone (`ExecStopPost=`), and `mlosctl mode restore --offline`. The last two run this folder as a program, also when
everything around it is broken:

    python3 -I -S .../mlosd/undo --log /run/mlosd/mode/undo.log
"""
