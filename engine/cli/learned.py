"""Commands that use what a run has learned, each a few lines."""

from pathlib import Path
from typing import Annotated

import typer

from descent.common.i18n import _
from engine.cli.options import AllowCode, DataRoot, Json, Run, RunsDir

learned_app = typer.Typer()
Member = Annotated[
    int | None, typer.Option("--member", metavar="N", help=_("Use this one of several models [default: the best]."))
]


@learned_app.command(help=_("Predict with a run's best model: for a CSV file, an image, or a folder of images."))
def predict(
    run: Run,
    data: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help=_("The new data."))],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="CSV", readable=False, help=_("Write into this file."))
    ] = None,
    member: Member = None,
    device: Annotated[str, typer.Option("--device", help=_("cpu, cuda or cuda:N."))] = "cpu",
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    from engine.cli import learned_view

    found = learned_view.Wanted(run, member, device, runs_dir, data_root, allow_code)
    learned_view.predict(found, data, out, as_json=as_json)


@learned_app.command(
    help=_(
        "Export a run's best model for other programs: safetensors, torch.export or ONNX; or its numbers: CSV, "
        "Parquet or TensorBoard."
    )
)
def export(
    run: Run,
    kind: Annotated[
        str | None, typer.Option("--to", metavar="FORMAT", help=_("safetensors, pt2 or onnx [default: by --out]."))
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", readable=False, help=_("The file [default: RUN.FORMAT, here].")),
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help=_("Write the numbers instead: a line for each step and member."))
    ] = False,
    as_parquet: Annotated[bool, typer.Option("--parquet", help=_("Write the same numbers as Parquet."))] = False,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            "--tensorboard",
            metavar="DIR",
            readable=False,
            help=_("Write the same numbers as scalars of TensorBoard."),
        ),
    ] = None,
    member: Member = None,
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    asked = [
        name for name, value in {"csv": as_csv, "parquet": as_parquet, "tensorboard": tensorboard}.items() if value
    ]
    if asked:
        if len(asked) > 1 or kind is not None:
            raise typer.BadParameter(_("--to, --csv, --parquet and --tensorboard exclude one another"))
        if member is not None or (tensorboard is not None and out is not None):
            raise typer.BadParameter(
                _("--{format} takes neither --member nor, for TensorBoard, --out", format=asked[0])
            )
        from engine.cli import numbers_view

        numbers_view.export(run, asked[0], tensorboard or out, runs_dir, as_json=as_json)
        return
    from engine.cli import learned_view

    found = learned_view.Wanted(run, member, "cpu", runs_dir, data_root, allow_code)
    learned_view.export(found, kind, out, as_json=as_json)
