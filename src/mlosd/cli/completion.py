"""mlosctl completion: the script that makes Tab know our nouns, verbs, options, jobs and projects."""

import click
from click.shell_completion import BashComplete, FishComplete, ZshComplete

from mlosd.cli import program, say

SHELLS = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command(
    epilog="""\b
Examples:
  mlosctl completion bash > /etc/bash_completion.d/mlosctl
  mlosctl completion zsh > ~/.zfunc/_mlosctl
  mlosctl completion fish > ~/.config/fish/completions/mlosctl.fish""",
)
@click.argument("shell", type=click.Choice(list(SHELLS)))
def command(shell: str) -> None:
    """Print the completion script of a shell."""
    complete = SHELLS[shell](program.command, {}, say.NAME, program.COMPLETE)
    # Not complete.source(): for bash that starts a shell to ask for its version.
    print(complete.source_template % complete.source_vars())
