"""Reading a contract: every fault is told, by the key that has it."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any

from dbparity.environment.contract import Contract, EnvironmentFile, Variable
from dbparity.environment.trouble import BadContractError
from dbparity.environment.values import NEVER_EMPTY, WRITTEN, Type, Value, parsed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
TOP: dict[str, tuple[type, str]] = {
    "environments": (dict, "a table"),
    "variables": (dict, "a table"),
    "variable": (str, "a string"),
    "prefixes": (list, "a list of strings"),
}
KEYS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "type": (str, f"one of {', '.join(Type)}"),
    "about": (str, "a sentence"),
    "default": (object, "a value of the type"),
    "choices": (list, "a list of values"),
    "min": ((int, float), "a number"),
    "max": ((int, float), "a number"),
    "pattern": (str, "a regular expression"),
    "secret": (bool, "true or false"),
    "required": ((list, bool), "true, or a list of environments"),
    "differs": ((dict, str), "a table of environments and reasons, or one reason for all"),
    "local": (str, "a reason, in words"),
    "file_of": (str, "the name of a variable"),
}
_NATIVE: dict[Type, tuple[type, ...]] = {
    Type.INTEGER: (int,),
    Type.NUMBER: (int, float),
    Type.BOOLEAN: (bool,),
    Type.LIST: (list,),
}


def load_contract(path: Path) -> Contract:
    """Read a contract. Raises BadContractError, which names every key that is wrong."""
    return _Reading(path).contract(_table(path))


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise BadContractError(path, [f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise BadContractError(path, ["is not UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        raise BadContractError(path, [f"is not valid TOML: {error}"]) from None


class _Reading:
    """One contract, and what is wrong with it so far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.faults: list[str] = []
        self.environments: dict[str, EnvironmentFile] = {}

    def contract(self, table: Mapping[str, Any]) -> Contract:
        """The contract that the table is; a fault has a line of its own."""
        self._check_keys("", table, TOP)
        self._stop_on_faults()
        for name, said in table.get("environments", {}).items():
            self._read_environment(name, said)
        variables = {}
        for name, said in table.get("variables", {}).items():
            if self._is_variable(name, said):
                variables[name] = self._variable(name, said)
        self._check_together(table, variables)
        self._stop_on_faults()
        return Contract(
            self.path,
            self.environments,
            variables,
            table.get("variable", ""),
            tuple(table.get("prefixes", ())),
        )

    def _stop_on_faults(self) -> None:
        if self.faults:
            raise BadContractError(self.path, self.faults)

    def _check_keys(self, where: str, table: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
        before = len(self.faults)
        for key, value in table.items():
            if key not in known:
                self.faults.append(f"{where}{key} is no key; there are {', '.join(known)}")
            elif not _is_a(value, known[key][0]):
                self.faults.append(f"{where}{key} must be {known[key][1]}")
        return len(self.faults) == before

    def _read_environment(self, name: str, said: object) -> None:
        where = f"environments.{name}"
        if isinstance(said, str):
            said = {"file": said}
        if not isinstance(said, dict) or not isinstance(said.get("file"), str) or not said["file"]:
            self.faults.append(f"{where} must be the name of a file, or a table with `file` and `example`")
            return
        if not self._check_keys(
            f"{where}.", said, {"file": (str, "a path"), "example": (bool, "true or false")}
        ):
            return
        path = self.path.parent / said["file"]
        if twin := next((each for each in self.environments.values() if each.path.name == path.name), None):
            self.faults.append(f"{where} has a file with the name of {twin.name}'s, {path.name}")
        self.environments[name] = EnvironmentFile(name, path, said.get("example", False))

    def _is_variable(self, name: str, said: object) -> bool:
        where = f"variables.{name}"
        if not _NAME.fullmatch(name):
            self.faults.append(f"{where} is no name of a variable")
        elif not isinstance(said, dict):
            self.faults.append(f"{where} must be a table")
        elif self._check_keys(f"{where}.", said, KEYS):
            if said.get("type") in set(Type) and str(said.get("about", "")).strip():
                return True
            self.faults.append(f"{where} needs a `type`, {KEYS['type'][1]}, and a sentence in `about`")
        return False

    def _variable(self, name: str, said: Mapping[str, Any]) -> Variable:
        where, kind = f"variables.{name}", Type(said["type"])
        variable = Variable(
            name,
            kind,
            said["about"],
            default=self._value(f"{where}.default", kind, said["default"]) if "default" in said else None,
            choices=tuple(
                value
                for each in said.get("choices", ())
                if (value := self._value(f"{where}.choices", kind, each)) is not None
            ),
            minimum=said.get("min"),
            maximum=said.get("max"),
            pattern=self._pattern(where, said.get("pattern")),
            secret=said.get("secret", False),
            required=frozenset(self._required(where, said.get("required", []))),
            differs=self._differs(where, said.get("differs", {})),
            local=said.get("local", ""),
            file_of=said.get("file_of", ""),
        )
        self._check_default(where, variable, said.get("default"))
        return variable

    def _value(self, where: str, kind: Type, value: object) -> Value | None:
        native = _NATIVE.get(kind, (str,))
        if _is_a(value, native):
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            try:
                return parsed(kind, text) if text or kind in NEVER_EMPTY else ((), "")[kind is not Type.LIST]
            except ValueError:
                pass
        self.faults.append(f"{where} must be {WRITTEN[kind]}")
        return None

    def _check_default(self, where: str, variable: Variable, said: object) -> None:
        if variable.default is None or said in ("", []):
            return
        if fault := variable.range_fault(",".join(said) if isinstance(said, list) else str(said)):
            self.faults.append(f"{where}.default {fault}")
        if variable.secret:
            self.faults.append(f"{where} is a secret, and can have no default")

    def _pattern(self, where: str, text: str | None) -> re.Pattern[str] | None:
        try:
            return re.compile(text) if text else None
        except re.error as error:
            self.faults.append(f"{where}.pattern is no regular expression: {error}")
            return None

    def _required(self, where: str, said: bool | list[Any]) -> Iterable[str]:  # noqa: FBT001 - as TOML has it
        names = (list(self.environments) if said else []) if isinstance(said, bool) else said
        self._check_environments(f"{where}.required", names)
        return map(str, names)

    def _differs(self, where: str, said: str | dict[str, Any]) -> dict[str, str]:
        reasons = dict.fromkeys(self.environments, said) if isinstance(said, str) else said
        self._check_environments(f"{where}.differs", reasons)
        for reason in reasons.values():
            if not isinstance(reason, str) or not reason.strip():
                self.faults.append(f"{where}.differs must state a reason, in words")
                break
        return reasons

    def _check_environments(self, where: str, names: Iterable[object]) -> None:
        for name in names:
            if name not in self.environments:
                self.faults.append(f"{where} names {name!r}, which is none of the environments")

    def _check_together(self, table: Mapping[str, Any], variables: Mapping[str, Variable]) -> None:
        if not self.environments:
            self.faults.append("[environments] must name the environments and their files")
        known = table.get("variables", {})
        chooser = table.get("variable", "")
        if not all(isinstance(each, str) and each for each in table.get("prefixes", ())):
            self.faults.append(f"prefixes must be {TOP['prefixes'][1]}")
        if chooser and chooser not in known:
            self.faults.append(f"variable is {chooser}, which is not declared")
        for each in variables.values():
            if each.file_of and each.file_of not in known:
                self.faults.append(f"variables.{each.name}.file_of is {each.file_of}, which is not declared")
            self._check_range(each)

    def _check_range(self, variable: Variable) -> None:
        """What would never be looked at must not look like a limit."""
        where, least, most = f"variables.{variable.name}", variable.minimum, variable.maximum
        number = variable.type in {Type.INTEGER, Type.NUMBER}
        if number and variable.pattern:
            self.faults.append(f"{where}.pattern is for texts: of numbers say min and max")
        if not number and not (least is None and most is None):
            self.faults.append(f"{where} has a min or max, which are for numbers: of texts say a pattern")
        if least is not None and most is not None and least > most:
            self.faults.append(f"{where}.min is above its max")


def _is_a(value: object, kinds: type | tuple[type, ...]) -> bool:
    """Whether it is of the kind, where true and false are no numbers."""
    wanted = kinds if isinstance(kinds, tuple) else (kinds,)
    if isinstance(value, bool) and bool not in wanted and object not in wanted:
        return False
    return isinstance(value, wanted)
