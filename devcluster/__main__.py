"""The commands behind the Makefile's targets: ``python -m devcluster COMMAND``."""

import argparse
import subprocess
import sys

import docker.errors

from devcluster import binaries, files, packages, session, up
from devcluster.paths import state_dir
from devcluster.report import DevclusterError, say


def main() -> int:
    """Run one command; the exit status says whether it worked."""
    try:
        _run(_arguments())
    except DevclusterError as error:
        say(str(error))
        return 1
    except subprocess.CalledProcessError as error:
        say(f"{' '.join(map(str, error.cmd))} failed:\n{error.stderr}")
        return 1
    except (OSError, RuntimeError, docker.errors.DockerException) as error:  # a full disk, no home, an engine's refusal
        say(f"This can't be done: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devcluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start everything and wait until the sample Workspace is Ready")
    start.add_argument("--no-controller", action="store_true", help="start everything but the controller")
    commands.add_parser("controller", help="run the controller in the foreground")
    commands.add_parser("down", help="stop what `up` started; data and containers stay")
    commands.add_parser("clean", help="remove the containers, then the data")
    commands.add_parser("status", help="show what runs and where it logs")
    commands.add_parser("kubeconfig", help="print the path of the kubeconfig in use")
    commands.add_parser("kubectl", help="print the path of the kubectl that was built here")
    commands.add_parser("deps", help="install and build what the tests need")
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "up" | "down" | "clean":
            lock = state_dir().with_suffix(".lock")  # beside it: `clean` removes what is in it
            with files.alone(lock, "another command that starts or stops things here"):
                _change(arguments)
        case "controller":
            up.run_controller()
        case "status":
            up.status()
        case "kubeconfig":
            sys.stdout.write(f"{session.kubeconfig()}\n")
        case "kubectl":
            sys.stdout.write(f"{binaries.path('kubectl')}\n")
        case "deps":
            packages.install_engine(packages.TESTS)
            binaries.ensure(binaries.CONTROL_PLANE)
            binaries.ensure(binaries.ENGINE29)


def _change(arguments: argparse.Namespace) -> None:
    match arguments.command:
        case "up":
            up.up(with_controller=not arguments.no_controller)
        case "down":
            up.down()
        case "clean":
            up.clean()


if __name__ == "__main__":
    sys.exit(main())
