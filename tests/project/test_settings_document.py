"""docs/settings.md is what the settings' classes and the commands' options give."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.helpers.paths import ROOT


@pytest.fixture
def make_settings(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import make_settings

    return make_settings


def test_the_document_is_up_to_date(make_settings: ModuleType) -> None:
    written = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == make_settings.document(), "run `python docs/make_settings.py` and commit docs/settings.md"


def test_every_setting_and_every_option_of_every_command_is_in_it(make_settings: ModuleType) -> None:
    document = make_settings.document()
    for cls in make_settings.settings_classes():
        for field, _ in make_settings.fields_of(cls):
            assert f"\n| `{field.name}` |" in document
            default = repr(field.default).replace("|", r"\|")
            assert f"| `{default}` | {field.metadata['help']}" in document
    for command in make_settings.cli.commands.values():
        for parameter in command.params:
            setting = any(
                parameter.name in make_settings.option_names(cls) for cls in make_settings.classes_of(command)
            )
            assert setting or parameter.param_type_name == "argument" or f"| `{parameter.opts[0]}` |" in document


def test_a_command_is_linked_only_with_settings_that_it_takes(make_settings: ModuleType) -> None:
    classes = {cls.__name__ for cls in make_settings.classes_of(make_settings.cli.commands["finetune-classifier"])}
    assert classes == {"SessionSettings", "ClassifierSettings", "LabelledTextSettings"}
