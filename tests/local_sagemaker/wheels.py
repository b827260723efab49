"""A tiny wheel, made without network and without a build."""

from __future__ import annotations

import io
import zipfile


def a_wheel(
    name: str, version: str = "1.0", source: str = "VALUE = 42\n", requires: str = ""
) -> bytes:
    """A pure-Python wheel of one module, with a command of the same name."""
    info = f"{name}-{version}.dist-info"
    needs = f"Requires-Dist: {requires}\n" if requires else ""
    files = {
        f"{name}.py": source + "def main():\n    print('command', VALUE)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}={name}:main\n",
    }
    record = "".join(f"{each},,\n" for each in (*files, f"{info}/RECORD"))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for each, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(each), text)  # no time: the same bytes always
    return packed.getvalue()


def wheel_name(name: str, version: str = "1.0") -> str:
    return f"{name}-{version}-py3-none-any.whl"
