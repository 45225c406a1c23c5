"""What pydantic finds is worded in one way: the parameter, its value with its unit, what was expected."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from aiida_pet.schemas import check_as, read_as, told, unit_of


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    depth: float = 1.0


class Recipe(BaseModel):
    model_config = ConfigDict(extra="forbid")

    force: float = Field(1.0, gt=0, lt=10, json_schema_extra=told(unit="eV/A"))
    count: int | None = Field(None, ge=1, strict=True)
    colour: Colour = Colour.RED
    kind: Literal["hard", "soft"] = "hard"
    exact: StrictBool = False
    finite: float = Field(0.0, allow_inf_nan=False)
    name: Annotated[str, Field(pattern="^[a-z]+$", json_schema_extra=told(expected="small letters"))] = "a"
    pair: tuple[float, float] | None = None
    many: tuple[int, ...] = ()
    cell: int | tuple[int, int, int] = 1
    inner: Inner = Inner()
    text: str = ""

    @model_validator(mode="after")
    def _no_pair_of_equals(self) -> Any:
        if self.pair is not None and self.pair[0] == self.pair[1]:
            raise ValueError(f"pair = {self.pair} holds one number twice")
        return self


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"force": -1}, "force = -1 eV/A: expected a number > 0 and < 10"),
        ({"force": "much"}, "force = 'much' eV/A: expected a number > 0 and < 10"),
        ({"count": 0}, "count = 0: expected a whole number >= 1"),
        ({"count": 1.5}, "count = 1.5: expected a whole number >= 1"),
        ({"colour": "blue"}, "colour = 'blue': expected red or green"),
        ({"kind": "mild"}, "kind = 'mild': expected hard or soft"),
        ({"exact": "yes"}, "exact = 'yes': expected true or false"),
        ({"finite": float("inf")}, "finite = inf: expected a finite number"),
        ({"name": "A"}, "name = 'A': expected small letters"),
        ({"text": 3}, "text = 3: expected a text"),
        ({"many": 3}, "many = 3: expected a list of values, each of them a whole number"),
        ({"many": [1, "x"]}, "many.1 = 'x': expected a whole number"),
        ({"pair": [1]}, "pair = [1]: expected 2 values, each of them a number"),
        ({"pair": [1, 1]}, "pair = (1.0, 1.0) holds one number twice"),
        ({"cell": [1, 2]}, "cell = [1, 2]: expected a whole number or 3 values, each of them a whole number"),
        ({"inner": {"dept": 1}}, "inner.dept: unknown; known are depth (did you mean depth?)"),
        ({"inner": {"depth": "x"}}, "inner.depth = 'x': expected a number"),
        ({"inner": 3}, "inner = 3: expected names with values"),
        ({"zzz": 1}, "zzz: unknown; known are force, count, colour"),
    ],
)
def test_what_does_not_fit_is_told_with_what_was_expected(raw, message):
    found = check_as(Recipe, raw)
    assert found is not None
    assert found.startswith(message)
    assert "Input should" not in found


def test_what_fits_is_read_and_nothing_is_said():
    assert check_as(Recipe, {"force": 2, "count": None, "cell": [1, 2, 3]}) is None
    assert read_as(Recipe, {"colour": "green"}, "recipe").colour is Colour.GREEN


def test_every_problem_has_a_line_and_the_error_is_the_one_asked_for():
    class RecipeError(ValueError):
        pass

    with pytest.raises(RecipeError) as caught:
        read_as(Recipe, {"force": 0, "colour": "blue", "cuont": 1}, "recipe", RecipeError)
    assert str(caught.value).splitlines() == [
        "bad recipe:",
        "  force = 0 eV/A: expected a number > 0 and < 10",
        "  colour = 'blue': expected red or green",
        "  cuont: unknown; known are force, count, colour, kind, exact, finite, name, pair, many, cell, inner, text "
        "(did you mean count?)",
    ]


@dataclass(frozen=True)
class Plain:
    needed: Annotated[float, Field(strict=True, ge=0)]
    given: int = 1

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


def test_dataclasses_are_read_like_models():
    assert check_as(Plain, {}) == "needed: missing; expected a number >= 0"
    assert check_as(Plain, {"needed": True}, "plain.") == "plain.needed = True: expected a number >= 0"
    assert (
        check_as(Plain, {"needed": 1, "givn": 2})
        == "givn: unknown; known are needed, given (did you mean given?)"
    )
    assert read_as(Plain, {"needed": 2}, "plain") == Plain(2.0)


def test_units_are_those_of_the_fields():
    assert (unit_of(Recipe, "force"), unit_of(Recipe, "count"), unit_of(Recipe, "none")) == ("eV/A", "", "")
