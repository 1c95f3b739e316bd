"""The examples of a document: its fenced blocks, as one script that is executed as a reader would.

What the words after the fence mean: `python` is executed, in one session for each document; `python file=NAME` is saved;
`python raises NAME` must raise that error; a `text` block after it is what it printed; `console run` holds commands after `$`.
Refuses: a document without examples.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Block", "blocks", "run"]

_FENCE = re.compile(r"^```(?P<words>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "\x1eblock "


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block.

    Args:
        words: what stands after the fence.
        line: where it begins.
        output: the text block that follows, None if there is none.
    """

    words: tuple[str, ...]
    text: str
    line: int
    output: str | None = None

    @property
    def raises(self) -> str:
        """The error it is to raise, or empty."""
        return self.words[2] if self.words[1:2] == ("raises",) else ""

    @property
    def file(self) -> str:
        """The file it is, or empty."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), "")

    @property
    def commands(self) -> list[str]:
        """The commands of a console."""
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(path: Path) -> list[Block]:
    """The blocks that are executed or saved, in order."""
    found: list[Block] = []
    text = path.read_text(encoding="utf-8")
    end = 0
    for match in _FENCE.finditer(text):
        words = tuple(match["words"].split())
        line = text.count("\n", 0, match.start()) + 1
        follows = bool(found) and not text[end : match.start()].strip()
        if words[:1] == ("python",) or words == ("console", "run"):
            found.append(Block(words=words, text=match["text"], line=line))
        elif words == ("text",) and follows:
            found[-1] = Block(words=found[-1].words, text=found[-1].text, line=found[-1].line, output=match["text"])
        end = match.end()
    return found


def run(path: Path, folder: Path, environment: Mapping[str, str]) -> None:
    """Execute a document.

    Args:
        path: of the document.
        folder: an empty one; the reader's working folder.
        environment: the reader's.

    Raises:
        AssertionError: a command failed, an error did not come, or something else was printed.
    """
    found = blocks(path)
    assert found, f"{path} has no examples"
    for block in found:
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
    script = folder / "example.py"
    script.write_text("".join(_executed(path, found)), encoding="utf-8")
    outputs = _execute([sys.executable, str(script)], folder, environment).split(_MARK)[1:]
    printed = dict(output.split("\n", 1) for output in outputs)
    for block in found:
        if block.output is not None:
            assert printed[str(block.line)] == block.output, f"{path}:{block.line} printed something else"
        if block.words == ("console", "run"):
            for command in block.commands:
                _execute(["bash", "-c", command], folder, environment)


def _executed(path: Path, found: list[Block]) -> Iterator[str]:
    for block in found:
        if block.words[0] != "python" or block.file:
            continue
        yield f"print({_MARK + str(block.line)!r}, flush=True)\n"
        if not block.raises:
            yield f"{block.text}\n"
            continue
        yield "try:\n"
        yield "".join(f"    {line}" if line.strip() else line for line in block.text.splitlines(keepends=True))
        yield "except Exception as error:\n"
        yield f"    assert type(error).__name__ == {block.raises!r}, repr(error)\n"
        yield f"else:\n    raise SystemExit('{path.name}:{block.line} did not raise {block.raises}')\n"


def _execute(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
