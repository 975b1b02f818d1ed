"""Options of bare `llm train`: those of every stage, and which stage it is."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import Any

from llm_cli.options import option
from llm_train.errors import RecipeError
from llm_train.pretrain.options import PretrainOptions
from llm_train.sft.options import SftDataOptions, SftOptions
from llm_train.training_options import TrainingOptions

STAGES: dict[str, type[TrainingOptions]] = {"pretrain": PretrainOptions, "sft": SftOptions}


@dataclass(kw_only=True)
class StageOptions(SftDataOptions, PretrainOptions):
    """Train as a config file says: its `stage` is pretrain or sft.

    `llm train FILE` is the same as `llm train STAGE FILE`.
    """

    stage: str | None = option(None, help="pretrain or sft, in any case of letters.")

    def __post_init__(self) -> None:
        """Checks are made by the options of the stage."""

    def of_stage(self) -> TrainingOptions:
        """The options of the stage.

        Raises RecipeError without a stage, or where an option of another stage was set.
        """
        stage = (self.stage or "").lower()
        if stage not in STAGES:
            given = f"The stage {self.stage!r} is not known" if self.stage else "There is no stage"
            message = (
                f"{given}. Name one of {', '.join(STAGES)} with --stage, or as `stage` in a config "
                "file."
            )
            raise RecipeError(message)
        kind = STAGES[stage]
        own = {field.name for field in fields(kind)}
        values: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            default = None if field.default is MISSING else field.default
            if field.name in own:
                # An option that was left alone takes the stage's own default.
                if field.default is MISSING or value != default:
                    values[field.name] = value
            elif field.name != "stage" and value != default:
                message = f"{field.name} does not belong to stage {stage}. Take it out."
                raise RecipeError(message)
        return kind(**values)
