"""pyproject.toml has the rest. conf/ lies at the top of the repository, and in a wheel beside the code."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithConf(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # there papo finds it where it is
            target = Path(self.build_lib) / "papo" / "conf"
            shutil.rmtree(target, ignore_errors=True)  # what an earlier build left
            shutil.copytree("conf", target)


setup(cmdclass={"build_py": WithConf})
