"""Commands `llm kernels` and `llm doctor`; imports nothing heavier than the command frame."""

from __future__ import annotations

from llm_cli.command import Command, Group

command = Group(
    "kernels",
    help="Ask the native kernels what they run on, and check their numbers.",
    commands=(
        Command(
            "info",
            options="llm_kernels.commands.options:InfoOptions",
            run="llm_kernels.commands.info:info",
            help="Instruction set, threads, and what each op runs on and why.",
        ),
        Command(
            "test",
            options="llm_kernels.commands.options:NumericsOptions",
            run="llm_kernels.commands.numerics:test",
            help="Numerics of every native op against its NumPy reference.",
        ),
    ),
)

doctor = Command(
    "doctor",
    options="llm_kernels.commands.options:DoctorOptions",
    run="llm_kernels.commands.doctor:doctor",
    help="Look at this machine: Python, packages, processor, memory, disk, frameworks.",
)
