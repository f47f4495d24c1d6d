"""A language host for Python: it runs the program for the engine, and tells which plugins the program needs.

The official one comes with the CLI's installer only. Like that one, it uses the interpreter that the project's
`virtualenv` option names, and runs the program with the `pulumi-language-python-exec` that comes with the engine and
lies beside it.
"""

import importlib.metadata
import json
import os
import queue
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from sandbox.plugins.serving import serve

# The program failed and has told the person why.
_BAIL: Final = 32


class InterpreterError(Exception):
    """The project's interpreter cannot run a program; one line that says what to do."""


class Python:
    """The interpreter of one project."""

    def __init__(self, info: language_pb2.ProgramInfo) -> None:
        option = info.options.fields["virtualenv"].string_value if "virtualenv" in info.options.fields else ""
        self.folder = Path(info.program_directory, option) if option else None
        """The virtual environment, None where the project names none: this host's own interpreter is used then."""
        self.executable = str(self.folder / "bin" / "python") if self.folder else sys.executable

    def check(self) -> None:
        """Makes sure that it can run a program.

        Raises:
            InterpreterError: It is not there, or has no Pulumi SDK.
        """
        where = f"{self.folder} (the option virtualenv of Pulumi.yaml)" if self.folder else self.executable
        if not Path(self.executable).exists():
            raise InterpreterError(f"{where} is no virtual environment: `pulumi install` makes one")
        if any((site / "pulumi" / "__init__.py").is_file() for site in self.packages()):
            return
        if subprocess.run([self.executable, "-c", "import pulumi"], capture_output=True, check=False).returncode:
            raise InterpreterError(f"{where} has no Pulumi SDK: `pulumi install` installs what requirements.txt lists")

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


def required_plugins(packages: list[Path]) -> list[plugin_pb2.PackageDependency]:
    """The plugins that installed packages ask for: each such package has a pulumi-plugin.json."""
    found = []
    for about_file in sorted(each for site in packages for each in site.glob("*/pulumi-plugin.json")):
        about = json.loads(about_file.read_text())
        if not about.get("resource"):
            continue
        name = about.get("name") or about_file.parent.name.removeprefix("pulumi_").replace("_", "-")
        version = about.get("version") or _package_version(about_file.parent)
        found.append(
            plugin_pb2.PackageDependency(name=name, kind="resource", version=version, server=about.get("server") or "")
        )
    return found


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs Python for the engine."""

    def __init__(self, runner: Path, engine_address: str) -> None:
        self._runner = runner
        self._engine = engine_address
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()

    def Handshake(  # noqa: N802 - the protocol's name
        self, request: language_pb2.LanguageHandshakeRequest, context: grpc.ServicerContext
    ) -> language_pb2.LanguageHandshakeResponse:
        """Learns where the engine listens."""
        self._engine = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(  # noqa: N802
        self, request: empty_pb2.Empty, context: grpc.ServicerContext
    ) -> plugin_pb2.PluginInfo:
        """The version of the SDK that this host itself is made with."""
        return plugin_pb2.PluginInfo(version=importlib.metadata.version("pulumi"))

    def GetRequiredPackages(  # noqa: N802
        self, request: language_pb2.GetRequiredPackagesRequest, context: grpc.ServicerContext
    ) -> language_pb2.GetRequiredPackagesResponse:
        """The plugins that the program's packages ask for."""
        packages = required_plugins(Python(request.info).packages())
        return language_pb2.GetRequiredPackagesResponse(packages=packages)

    def InstallDependencies(  # noqa: N802
        self, request: language_pb2.InstallDependenciesRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.InstallDependenciesResponse]:
        """Makes the virtual environment where it is missing, and installs requirements.txt into it."""
        python = Python(request.info)
        directory = request.info.program_directory or request.directory
        steps = []
        if python.folder and not Path(python.executable).exists():
            steps.append([sys.executable, "-m", "venv", str(python.folder)])
        if Path(directory, "requirements.txt").is_file():
            steps.append([python.executable, "-m", "pip", "install", "-r", "requirements.txt"])
        for step in steps:
            process = self._start(step, python.environment(), directory, context)
            for name, line in _lines(process):
                to_stdout, to_stderr = (line, b"") if name == "stdout" else (b"", line)
                yield language_pb2.InstallDependenciesResponse(stdout=to_stdout, stderr=to_stderr)
            if self._finish(process):
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"{' '.join(step[1:])} failed")

    def Run(  # noqa: N802
        self, request: language_pb2.RunRequest, context: grpc.ServicerContext
    ) -> language_pb2.RunResponse:
        """Runs the program to its end; its output is this process's, which the engine shows."""
        info = request.info
        python = Python(info)
        try:
            python.check()
            if not self._runner.is_file():
                raise InterpreterError(f"{self._runner} is missing: it comes with the engine, beside `pulumi`")
        except InterpreterError as problem:
            return language_pb2.RunResponse(error=str(problem))
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
        command = [python.executable, "-u", str(self._runner), *(part for pair in arguments.items() for part in pair)]
        # Config holds secrets, so it goes where only this user can see it.
        env = python.environment() | {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        program = str(Path(info.program_directory, info.entry_point))
        code = self._finish(
            self._start([*command, program, *request.args], env, info.program_directory, context, piped=False)
        )
        if code == 0 or code == _BAIL:
            return language_pb2.RunResponse(bail=code == _BAIL)
        how = f"was ended by signal {-code}" if code < 0 else f"exited with code {code}"
        return language_pb2.RunResponse(error=f"the program {how}")

    def RunPlugin(  # noqa: N802
        self, request: language_pb2.RunPluginRequest, context: grpc.ServicerContext
    ) -> Iterator[language_pb2.RunPluginResponse]:
        """Runs a plugin that is written in Python, such as a policy pack, until the engine is done with it."""
        info = request.info
        python = Python(info)
        try:
            python.check()
        except InterpreterError as problem:
            yield language_pb2.RunPluginResponse(stderr=f"{problem}\n".encode())
            yield language_pb2.RunPluginResponse(exitcode=1)
            return
        env = python.environment() | dict(each.split("=", 1) for each in request.env)
        command = [python.executable, "-u", str(Path(info.program_directory, info.entry_point)), *request.args]
        process = self._start(command, env, request.pwd or info.program_directory, context)
        for name, line in _lines(process):
            if name == "stdout":
                yield language_pb2.RunPluginResponse(stdout=line)
            else:
                yield language_pb2.RunPluginResponse(stderr=line)
        yield language_pb2.RunPluginResponse(exitcode=self._finish(process))

    def Cancel(self, request: empty_pb2.Empty, context: grpc.ServicerContext) -> empty_pb2.Empty:  # noqa: N802
        """Ends what runs."""
        self.stop()
        return empty_pb2.Empty()

    def stop(self) -> None:
        """Ends what runs."""
        with self._lock:
            running = list(self._running)
        for process in running:
            process.terminate()

    def _start(
        self,
        command: list[str],
        env: dict[str, str],
        directory: str,
        context: grpc.ServicerContext,
        *,
        piped: bool = True,
    ) -> subprocess.Popen[bytes]:
        stream = subprocess.PIPE if piped else None
        # In a session of its own, the program is not hit by the signal that tells this host to go, and dies without a
        # traceback when the host ends it.
        process = subprocess.Popen(
            command,
            env=env,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
        with self._lock:
            self._running.add(process)
        context.add_callback(process.terminate)
        return process

    def _finish(self, process: subprocess.Popen[bytes]) -> int:
        code = process.wait()
        with self._lock:
            self._running.discard(process)
        return code


def _lines(process: subprocess.Popen[bytes]) -> Iterator[tuple[str, bytes]]:
    """What a process writes, line by line as it comes, with the stream's name."""
    lines: queue.Queue[tuple[str, bytes] | None] = queue.Queue()

    def pump(name: str, stream: IO[bytes]) -> None:
        for line in stream:
            lines.put((name, line))
        lines.put(None)

    streams = {name: stream for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)) if stream}
    for name, stream in streams.items():
        threading.Thread(target=pump, args=(name, stream), daemon=True).start()
    for _ in streams:
        while (item := lines.get()) is not None:
            yield item


def _package_version(package: Path) -> str:
    for info in package.parent.glob(f"{package.name}-*.dist-info"):
        return info.name.removesuffix(".dist-info").rpartition("-")[2]
    return ""


def main() -> None:
    """Serves the host until the engine is done with it; the first argument is the folder that the engine lies in."""
    folder, *rest = sys.argv[1:]
    address = next((each for each in rest if not each.startswith("-")), "")
    host = LanguageHost(Path(folder, "pulumi-language-python-exec"), address)
    serve(lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server), host.stop)
