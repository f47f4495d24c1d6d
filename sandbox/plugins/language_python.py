"""A language host for Python: it runs the program for the engine, and lists the plugins that the program needs.

The official one comes only with the CLI's installer. Like that one, it uses the interpreter that the project's
`virtualenv` option names, and runs the program with the `pulumi-language-python-exec` that comes with the engine and
lies beside it.
"""

# ruff: noqa: N802 - the protocol names the methods
import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from google.protobuf.empty_pb2 import Empty
from grpc import ServicerContext, StatusCode
from pulumi.runtime.proto import language_pb2 as proto
from pulumi.runtime.proto import language_pb2_grpc
from pulumi.runtime.proto.plugin_pb2 import PackageDependency, PluginInfo

from sandbox.plugins.serving import serve

# The program failed and has told the person why.
_BAIL: Final = 32


class Python:
    """The interpreter of one project."""

    def __init__(self, info: proto.ProgramInfo) -> None:
        option = info.options.fields["virtualenv"].string_value
        self.folder = Path(info.program_directory, option) if option else None
        """The virtual environment, None where the project names none: this host's own interpreter is used then."""
        self.executable = str(self.folder / "bin" / "python") if self.folder else sys.executable

    def fault(self) -> str:
        """Why it cannot run a program, in one line that says what to do; empty if it can."""
        where = f"{self.folder} (the option virtualenv of Pulumi.yaml)" if self.folder else self.executable
        if not Path(self.executable).exists():
            return f"{where} is no virtual environment: `pulumi install` makes one"
        if any((site / "pulumi" / "__init__.py").is_file() for site in self.packages()):
            return ""
        if subprocess.run([self.executable, "-c", "import pulumi"], capture_output=True, check=False).returncode:
            return f"{where} has no Pulumi SDK: `pulumi install` installs what requirements.txt lists"
        return ""

    def packages(self) -> list[Path]:
        """The folders that its packages lie in."""
        if self.folder is None:
            return [Path(sysconfig.get_path("purelib"))]
        return sorted(self.folder.glob("lib/python3*/site-packages"))

    def environment(self) -> dict[str, str]:
        """The environment for what it runs, as an activated virtual environment has it."""
        env = {key: value for key, value in os.environ.items() if key != "PYTHONHOME"}
        if self.folder:
            env |= {"VIRTUAL_ENV": str(self.folder), "PATH": f"{self.folder / 'bin'}{os.pathsep}{env.get('PATH', '')}"}
        return env


def required_plugins(packages: list[Path]) -> list[PackageDependency]:
    """The plugins that installed packages ask for: each such package has a pulumi-plugin.json."""
    found = []
    for file in sorted(each for site in packages for each in site.glob("*/pulumi-plugin.json")):
        about = json.loads(file.read_text())
        if about.get("resource"):
            name = about.get("name") or file.parent.name.removeprefix("pulumi_").replace("_", "-")
            installed = importlib.metadata.distributions(name=file.parent.name, path=[str(file.parents[1])])
            version = about.get("version") or next((each.version for each in installed), "")
            server = about.get("server") or ""
            found.append(PackageDependency(name=name, kind="resource", version=version, server=server))
    return found


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs Python for the engine. The engine does without the calls that are not here."""

    def __init__(self, runner: Path, engine_address: str) -> None:
        self._runner = runner
        self._engine = engine_address

    def GetPluginInfo(self, request: Empty, context: ServicerContext) -> PluginInfo:
        """The version of the SDK that this host itself is made with."""
        return PluginInfo(version=importlib.metadata.version("pulumi"))

    def GetRequiredPackages(
        self, request: proto.GetRequiredPackagesRequest, context: ServicerContext
    ) -> proto.GetRequiredPackagesResponse:
        """The plugins that the program's packages ask for."""
        return proto.GetRequiredPackagesResponse(packages=required_plugins(Python(request.info).packages()))

    def InstallDependencies(
        self, request: proto.InstallDependenciesRequest, context: ServicerContext
    ) -> Iterator[proto.InstallDependenciesResponse]:
        """Makes the virtual environment where it is missing, and installs requirements.txt into it."""
        python = Python(request.info)
        directory = request.info.program_directory or request.directory
        steps = []
        if python.folder and not Path(python.executable).exists():
            steps.append([sys.executable, "-m", "venv", str(python.folder)])
        if Path(directory, "requirements.txt").is_file():
            steps.append([python.executable, "-m", "pip", "install", "-r", "requirements.txt"])
        for step in steps:
            process = _start(step, python.environment(), directory, context, stdout=subprocess.PIPE)
            for line in process.stdout or ():
                yield proto.InstallDependenciesResponse(stdout=line)
            if process.wait():
                context.abort(StatusCode.FAILED_PRECONDITION, f"{' '.join(step)} failed")

    def Run(self, request: proto.RunRequest, context: ServicerContext) -> proto.RunResponse:
        """Runs the program to its end. Its output is this process's, which the engine shows."""
        info = request.info
        python = Python(info)
        if fault := python.fault():
            return proto.RunResponse(error=fault)
        arguments = {
            "--monitor": request.monitor_address,
            "--engine": self._engine,
            "--project": request.project,
            "--stack": request.stack,
            "--organization": request.organization or "organization",
            "--root_directory": info.root_directory,
            "--pwd": info.program_directory,
            "--parallel": str(request.parallel),
            "--dry_run": str(request.dryRun).lower(),
        }
        runner = [python.executable, "-u", str(self._runner), *(part for pair in arguments.items() for part in pair)]
        command = [*runner, str(Path(info.program_directory, info.entry_point)), *request.args]
        # Config holds secrets, so it goes where only this user can see it.
        env = python.environment() | {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        code = _start(command, env, info.program_directory, context).wait()
        if code in (0, _BAIL):
            return proto.RunResponse(bail=code == _BAIL)
        how = f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"
        return proto.RunResponse(error=f"the program {how}")

    def RunPlugin(self, request: proto.RunPluginRequest, context: ServicerContext) -> Iterator[proto.RunPluginResponse]:
        """Runs a plugin, such as a policy pack, until it ends. Its stderr is this process's, which the engine shows."""
        info = request.info
        python = Python(info)
        if fault := python.fault():
            context.abort(StatusCode.FAILED_PRECONDITION, fault)
        env = python.environment() | dict(each.split("=", 1) for each in request.env)
        command = [python.executable, "-u", str(Path(info.program_directory, info.entry_point)), *request.args]
        process = _start(command, env, request.pwd or info.program_directory, context, stdout=subprocess.PIPE)
        for line in process.stdout or ():
            yield proto.RunPluginResponse(stdout=line)
        yield proto.RunPluginResponse(exitcode=process.wait())


def _start(
    command: list[str], env: dict[str, str], folder: str, context: ServicerContext, stdout: int | None = None
) -> "subprocess.Popen[bytes]":
    """Starts a command, which ends when the engine's call ends, if not before."""
    # In a session of its own, the program is not hit by the signal that tells this host to go, and dies without a
    # traceback when the host ends it.
    process = subprocess.Popen(
        command, env=env, cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout, start_new_session=True
    )
    # False: the call was cancelled before. A program that nobody ends holds this host's output open: the engine waits.
    if not context.add_callback(process.terminate):
        process.terminate()
    return process


def main() -> None:
    """Serves the host until the engine is done with it; the first argument is the folder that the engine lies in."""
    folder, *rest = sys.argv[1:]
    address = next((each for each in rest if not each.startswith("-")), "")
    host = LanguageHost(Path(folder, "pulumi-language-python-exec"), address)
    serve(lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server))
