def llm_package(name, may_import, native_inputs=()):
    """One package of the toolchain: sources, tests, the files of its build, and its wheel.

    `may_import` lists the packages of ours that its sources may depend on; Pants refuses others,
    as tests/test_boundaries.py does.
    """
    module = name.replace("-", "_")
    python_sources(name="src", sources=["src/**/*.py"], dependencies=[":typed"])
    resource(name="typed", source="src/" + module + "/py.typed")
    python_tests(name="tests", sources=["tests/**/test_*.py"])
    python_test_utils(name="test_utils", sources=["tests/**/conftest.py"])
    files(name="build_inputs", sources=["pyproject.toml", "README.md", *native_inputs])
    python_distribution(
        name="dist",
        dependencies=[":src", ":build_inputs"],
        provides=python_artifact(name="llm-toolchain-" + name.replace("llm-", "", 1)),
        generate_setup=False,
        sdist=False,
    )
    allowed = [("//" + folder + "/**") for folder in may_import]
    __dependencies_rules__(
        ({"type": "python_sources"}, ("/**", *allowed, "!*")),
        ("*", "*"),
    )
