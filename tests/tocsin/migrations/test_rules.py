"""Steps leave room for programs of the version before: they add, and take away in a later step that says so.

Read from the steps' files, so that a step that breaks the rule is found before anybody runs it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tocsin.migrations import run
from tocsin.migrations.steps import all_steps

SINCE = "0014"
"""Steps before it went out together with the programs that need them."""

ADDS = {"create_table", "add_column", "create_index", "create_unique_constraint", "create_foreign_key"}
TAKES = {"drop_table", "drop_column", "rename_table", "drop_constraint"}
"""What a program of before may still use. An index is not: it can be dropped when it is replaced."""


class Found:
    """What `upgrade` of a step does."""

    def __init__(self, source: str) -> None:
        tree = ast.parse(source)
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        self.names: set[str] = set()
        self.faults: list[str] = []
        self._functions = functions
        self._seen: set[str] = set()
        self._follow("upgrade")
        if self.names & ADDS and self.names & TAKES:
            self.faults.append(f"adds ({_list(self.names & ADDS)}) and takes away ({_list(self.names & TAKES)})")
        self.raises_oldest = any(
            isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "oldest_program" for t in node.targets)
            for node in tree.body
        )
        if self.names & TAKES and not self.raises_oldest:
            self.faults.append("takes away and does not say `oldest_program`")

    def _follow(self, name: str) -> None:
        if name in self._seen or name not in self._functions:
            return
        self._seen.add(name)
        for node in ast.walk(self._functions[name]):
            if isinstance(node, ast.Call):
                self._look_at(node)

    def _look_at(self, call: ast.Call) -> None:
        if isinstance(call.func, ast.Name):
            self._follow(call.func.id)
            return
        if not isinstance(call.func, ast.Attribute):
            return
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        self.names.add(call.func.attr)
        if call.func.attr == "add_column":
            self._check_new_column(call)
        if call.func.attr == "alter_column":
            if "new_column_name" in given:
                self.names.add("rename_table")
            if _is_false(given.get("nullable")):
                self.faults.append("makes a column NOT NULL, in which programs of before may write nothing")
            if "type_" in given:
                self.faults.append("changes a column's type, which fails prepared statements; add a column instead")
        if call.func.attr in {"execute", "exec_driver_sql"}:
            text = " ".join(n.value for n in ast.walk(call) if isinstance(n, ast.Constant) and isinstance(n.value, str))
            for words, means in (
                ("DROP TABLE", "drop_table"),
                ("DROP COLUMN", "drop_column"),
                ("RENAME", "rename_table"),
            ):
                if words in text.upper():
                    self.names.add(means)

    def _check_new_column(self, call: ast.Call) -> None:
        for node in ast.walk(call):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "Column":
                given = {keyword.arg: keyword.value for keyword in node.keywords}
                if _is_false(given.get("nullable")) and "server_default" not in given:
                    self.faults.append("adds a column that is NOT NULL and has no default in the database")


def _is_false(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


def test_steps_add_or_take_away_never_both() -> None:
    files = {path.name[:4]: path for path in (Path(run.__file__).parent / "versions").glob("0*.py")}
    assert set(files) == {step.revision for step in all_steps()}
    found = {name: Found(path.read_text("utf-8")).faults for name, path in files.items() if name >= SINCE}
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_a_program_of_before_is_never_asked_to_know_a_step_to_come() -> None:
    for step in all_steps():
        assert step.oldest_program <= step.revision


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('op.create_table("a")\n    op.drop_table("b")', "adds"),
        ('op.drop_table("b")', "oldest_program"),
        ('op.add_column("a", sa.Column("x", sa.Text()))\n    op.drop_column("a", "y")', "adds"),
        ('op.add_column("a", sa.Column("x", sa.Text(), nullable=False))', "no default"),
        ('op.alter_column("a", "x", new_column_name="y")', "oldest_program"),
        ('op.alter_column("a", "x", nullable=False)', "NOT NULL"),
        ('op.alter_column("a", "x", type_=sa.Text())', "type"),
        ('op.execute("ALTER TABLE a RENAME TO b")', "oldest_program"),
        ("_elsewhere()\n\ndef _elsewhere():\n    op.drop_table('b')", "oldest_program"),
    ],
)
def test_the_check_finds(body: str, fault: str) -> None:
    found = Found(f"def upgrade():\n    {body}\n").faults
    assert any(fault in one for one in found), found


@pytest.mark.parametrize(
    "source",
    [
        'def upgrade():\n    op.create_table("a")\n\ndef downgrade():\n    op.drop_table("a")',
        'oldest_program = "0014"\n\ndef upgrade():\n    op.drop_table("a")',
        'def upgrade():\n    op.add_column("a", sa.Column("x", sa.Text(), nullable=False, server_default=""))',
        'def upgrade():\n    op.drop_index("i")\n    op.create_index("i", "a", ["y"])',
    ],
)
def test_the_check_lets_pass(source: str) -> None:
    assert Found(source).faults == []
