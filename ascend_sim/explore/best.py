"""Points as run files that `ascend-sim run` takes as they are, and what they change in the base run's file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import unified_diff
from io import StringIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.representer import RoundTripRepresenter

from ascend_sim.config import Chip, DataConfig, LaunchConfig, RunConfig, bundled, load_chip, names
from ascend_sim.errors import ProgramError
from ascend_sim.explore.resolve import figures_of

_DEFAULTS: dict[str, Any] = {
    "description": "",
    "data": DataConfig().model_dump(mode="json"),
    "launch": LaunchConfig().model_dump(mode="json"),
    "symmetry": True,
}
"""What a run file need not say."""


@dataclass
class RunFiles:
    """Writes variants of the run *base* as files for one folder.

    Where the file of *base* is still there, its comments and its order are kept. *chips* are the files with the chips
    that are not bundled, by name: they belong beside the runs.
    """

    base: RunConfig
    chips: dict[str, str] = field(default_factory=dict)
    _known: dict[str, Chip] = field(default_factory=dict)

    @property
    def original(self) -> str:
        """The file of the base run, or what it would say if it is gone."""
        try:
            text = self.base.path.read_text(encoding="utf-8")
            return text if isinstance(_yaml("rt").load(text), CommentedMap) else self._plain(self.base)
        except (OSError, UnicodeDecodeError, YAMLError):
            return self._plain(self.base)

    def text(self, run: RunConfig) -> str:
        """The file of *run*, a variant of the base run."""
        return self._said(self._content(run))

    def difference(self, run: RunConfig, name: str) -> str:
        """What turns the file of the base run into that of *run*, called *name*, but in its own folder: a unified diff.

        Paths stay as they are there, of the program as of the chip.
        """
        content, there = self._content(run), _yaml("safe").load(self.original)
        if Path(content["program"]).is_absolute():
            content["program"] = there.get("program", content["program"])
        chip, own = content["chip"], there.get("chip")
        extends = own.get("extends") if isinstance(own, Mapping) else own
        if run.chip_name == self.base.chip_name and extends and f"chip-{run.chip_name}.yaml" in self.chips:
            content["chip"] = {**chip, "extends": extends} if isinstance(chip, Mapping) else extends
        before, after = (text.splitlines(keepends=True) for text in (self.original, self._said(content)))
        return "".join(unified_diff(before, after, self.base.path.name, name))

    def _said(self, content: Mapping[str, Any]) -> str:
        written = _laid_over(self.original, content)
        # An anchor, a merge key or a text in the way of an edit: then the comments are given up.
        return written if _says(written, content) else _dumped(content)

    def _plain(self, run: RunConfig) -> str:
        return _dumped(self._content(run))

    def _content(self, run: RunConfig) -> dict[str, Any]:
        """Everything that the file of *run* has to say, defaults of the head included."""
        return {
            "description": run.description,
            "program": _program(run),
            "chip": self._chip(run),
            **run.sections,
            "data": run.data.model_dump(mode="json"),
            "launch": run.launch.model_dump(mode="json"),
            "symmetry": run.symmetry,
        }

    def _chip(self, run: RunConfig) -> str | dict[str, Any]:
        """The chip of *run*: a name, or the figures in which it differs from the one with that name."""
        name = run.chip_name
        file = f"chip-{name}.yaml"
        if name not in self._known:
            own = self.base.chip if name == self.base.chip_name else run.chip
            known = load_chip(name) if name in names("chips") else own
            if known is own or _changes(known, own) is None:  # not bundled, or no longer the chip of that name
                known = own
                self.chips[file] = _written(own.model_dump(mode="json", exclude={"extends"}))
            self._known[name] = known
        extends = f"./{file}" if file in self.chips else name
        changes = _changes(self._known[name], run.chip)
        return {"extends": extends, **changes} if changes else extends


def commented(lines: Sequence[str], text: str) -> str:
    """*text* below *lines* of comment."""
    return "".join(f"# {line}\n" for line in lines) + text


def _program(run: RunConfig) -> str:
    """The name of a bundled program, or else the absolute path of the file."""
    try:
        path = run.program_file().resolve()
    except ProgramError:  # it has gone since
        return run.program
    return path.stem if path.parent == bundled("programs").resolve() else str(path)


def _changes(before: Chip, after: Chip) -> dict[str, Any] | None:
    """The figures of *after* that *before* has otherwise; None if *before* has figures that *after* has not."""
    return _different(figures_of(before), figures_of(after))


def _different(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any] | None:
    if before.keys() - after.keys():
        return None
    found: dict[str, Any] = {}
    for key, value in after.items():
        known = before.get(key)
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            inner = _different(known, value)
            if inner is None:
                return None
            if inner:
                found[key] = inner
        elif not _same(known, value):
            found[key] = value
    return found


def _same(one: Any, other: Any) -> bool:
    """Whether two plain values are equal, and of one type: 1, 1.0 and true are not."""
    return json.dumps(one) == json.dumps(other)


def _laid_over(original: str, content: Mapping[str, Any]) -> str:
    """*original* with the values of *content*: other keys go, what a run file need not say is not added."""
    yaml = _yaml("rt")
    document = yaml.load(original)
    _lay(document, content, _DEFAULTS)
    stream = StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def _lay(target: CommentedMap, content: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    for key in [key for key in target if key not in content]:
        del target[key]
    added = 0
    for key, value in content.items():
        default = defaults.get(key)
        if key not in target:
            needed = _needed(value, default)
            if needed is None or _same(needed, default):
                continue
            if defaults is _DEFAULTS:
                target[key] = _styled(needed)
                target.yaml_set_comment_before_after_key(key, before="\n")
            else:  # below its last key a section may have the comment of the section after it: new keys come first
                target.insert(added, key, _styled(needed))
            added += 1
        elif isinstance(value, Mapping) and isinstance(target[key], CommentedMap):
            _lay(target[key], value, default or {})
        elif not _same(target[key], value):
            _replace(target, key, _styled(value))


def _replace(target: CommentedMap, key: str, value: Any) -> None:
    """Give *key* a *value*; empty lines that follow the old one follow all of the new one."""
    target[key] = value
    comment = target.ca.items.get(key)
    if not isinstance(value, CommentedMap) or comment is None or not comment[2].value.isspace():
        return
    del target.ca.items[key]
    inner, last = value, list(value)[-1]
    while isinstance(inner[last], CommentedMap):
        inner, last = inner[last], list(inner[last])[-1]
    inner.ca.items[last] = comment


def _styled(value: Any) -> Any:
    """*value* with its lists in one line."""
    if isinstance(value, Mapping):
        return CommentedMap({key: _styled(one) for key, one in value.items()})
    if isinstance(value, list):
        items = CommentedSeq(_styled(one) for one in value)
        items.fa.set_flow_style()
        return items
    return value


def _needed(value: Any, default: Any) -> Any:
    """*value* without what *default* has as well."""
    if isinstance(value, Mapping) and isinstance(default, Mapping):
        return {key: one for key, one in value.items() if not _same(one, default.get(key))} or None
    return value


def _says(text: str, content: Mapping[str, Any]) -> bool:
    """Whether the run file *text* says all of *content* and nothing else."""
    return _same(_ordered(_filled(_yaml("safe").load(text), _DEFAULTS)), _ordered(content))


def _filled(content: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    filled = {**defaults, **content}
    for key, default in defaults.items():
        if isinstance(default, Mapping) and isinstance(content.get(key), Mapping):
            filled[key] = {**default, **content[key]}
    return filled


def _ordered(value: Any) -> Any:
    return {key: _ordered(value[key]) for key in sorted(value)} if isinstance(value, Mapping) else value


def _dumped(content: Mapping[str, Any]) -> str:
    """*content* as a file, without what it need not say."""
    needed = {key: _needed(value, _DEFAULTS.get(key)) for key, value in content.items()}
    return _written({
        key: value for key, value in needed.items() if value is not None and not _same(value, _DEFAULTS.get(key))
    })  # fmt: skip


def _written(content: Mapping[str, Any]) -> str:
    stream = StringIO()
    _yaml("rt").dump(_styled(content), stream)
    return stream.getvalue()


class _Representer(RoundTripRepresenter):
    """Writes 1.6e12 and not 1600000000000.0."""


def _float(representer: RoundTripRepresenter, value: float) -> Any:
    digits = next(n for n in range(17) if float(f"{value:.{n}e}") == value)
    mantissa, exponent = f"{value:.{max(digits, 1)}e}".split("e")
    written = f"{mantissa}e{int(exponent)}" if abs(int(exponent)) > 5 else repr(value)
    return representer.represent_scalar("tag:yaml.org,2002:float", written)


_Representer.add_representer(float, _float)


def _yaml(kind: str) -> YAML:
    yaml = YAML(typ=kind, pure=True)
    if kind == "rt":
        yaml.Representer = _Representer
    yaml.width = 4096
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
