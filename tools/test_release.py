"""What a release is made of, without building it."""

import contextlib
import hashlib
import io
import pathlib
import tempfile
import unittest
import zipfile
from unittest import mock

import release
from samcli.yamlhelper import yaml_parse
from test_stack import elf, refused

CHANGELOG = """# Changelog

## [Unreleased]

### Added

- Nothing yet.

## [1.2.0] - 2026-12-01

### Changed

- Something.

## [1.1.0] - 2026-11-30

- Older.
"""


class Changelog(unittest.TestCase):
    def test_the_notes_are_the_section_of_the_version(self):
        self.assertEqual(release.notes(CHANGELOG, "1.2.0"), "### Changed\n\n- Something.\n")
        self.assertEqual(release.notes(CHANGELOG, "1.1.0"), "- Older.\n")

    def test_a_version_without_a_section_a_date_or_content_is_refused(self):
        for changelog in (CHANGELOG, "## [1.3.0]\n\n- Something.\n", "## [1.3.0] - 2026-12-02\n\n## [1.2.0] - 2026-12-01\n"):
            with refused(self, "CHANGELOG.md has no section"):
                release.notes(changelog, "1.3.0")


class Archive(unittest.TestCase):
    def test_it_is_the_same_for_the_same_program_and_starts_on_lambda(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder, name) for name in ("a.zip", "b.zip")]
            for path in paths:
                release.archive(b"\x7fELF", path)
            self.assertEqual(paths[0].read_bytes(), paths[1].read_bytes())
            with zipfile.ZipFile(paths[0]) as archive:
                [entry] = archive.infolist()
                self.assertEqual((entry.filename, entry.external_attr >> 16 & 0o777), ("bootstrap", 0o755))


class Release(unittest.TestCase):
    def test_it_has_an_archive_a_list_of_contents_and_a_template_for_each_processor(self):
        with self.made("0.1.0") as folder:
            names = {path.name for path in folder.iterdir()}
            expected = {"NOTES.md", "SHA256SUMS"}
            for architecture in ("arm64", "x86_64"):
                expected |= {f"imaging-study-0.1.0-{architecture}.{end}" for end in ("zip", "template.yaml", "sbom.cdx.json")}
            self.assertEqual(names, expected)

    def test_the_sums_are_those_of_the_files(self):
        with self.made("0.1.0") as folder:
            lines = [line.split("  ") for line in (folder / "SHA256SUMS").read_text().splitlines()]
            self.assertEqual(len(lines), 6)
            for digest, name in lines:
                self.assertEqual(digest, hashlib.sha256((folder / name).read_bytes()).hexdigest())

    def test_each_template_deploys_its_archive(self):
        with self.made("0.1.0") as folder:
            for architecture in ("arm64", "x86_64"):
                template = yaml_parse((folder / f"imaging-study-0.1.0-{architecture}.template.yaml").read_text())
                function, parameters = template["Resources"]["Function"], template["Parameters"]
                self.assertTrue((folder / function["Properties"]["CodeUri"]).is_file())
                self.assertEqual(parameters["Architecture"]["AllowedValues"], [architecture])
                self.assertEqual(parameters["Architecture"]["Default"], architecture)
                self.assertEqual(parameters["Revision"]["Default"], "0.1.0")
                self.assertNotIn("BuildMethod", function["Metadata"])

    def test_only_the_processor_that_runs_here_gets_a_profile(self):
        with self.made("0.1.0"):
            pass
        self.assertEqual(
            self.commands,
            [
                ["make", "build", "ARCH=x86_64", "PGO=1"], ["make", "sbom", "ARCH=x86_64"],
                ["make", "build", "ARCH=arm64", "PGO="], ["make", "sbom", "ARCH=arm64"],
            ],
        )

    def test_another_version_than_cargos_and_a_changed_checkout_are_refused(self):
        with refused(self, "VERSION is 0.2.0, and Cargo.toml says 0.1.0"), self.made("0.2.0"):
            pass
        with refused(self, "there are changes"), self.made("0.1.0", changes=" M template.yaml\n"):
            pass

    @contextlib.contextmanager
    def made(self, version, changes=""):
        """The folder of a release that was made of programs that are none."""
        self.commands = []
        with tempfile.TemporaryDirectory() as root:
            built = pathlib.Path(root, ".aws-sam/build/Function/bootstrap")
            built.parent.mkdir(parents=True)

            def run(command, **_):
                self.commands.append(command)
                if command[:2] == ["make", "build"]:
                    built.write_bytes(elf(62 if "ARCH=x86_64" in command else 183))
                    built.chmod(0o755)
                if command[:2] == ["make", "sbom"]:
                    pathlib.Path(root, ".aws-sam/sbom.cdx.json").write_text("{}")

            for name, content in [
                ("CHANGELOG.md", "## [0.1.0] - 2026-12-01\n\n- All.\n"), ("Cargo.toml", '[workspace.package]\nversion = "0.1.0"\n'),
                ("template.yaml", (release.stack.ROOT / "template.yaml").read_text()),
            ]:
                pathlib.Path(root, name).write_text(content)
            with (
                mock.patch.object(release, "ROOT", pathlib.Path(root)), mock.patch.object(release, "run", run),
                mock.patch.object(release, "changes", lambda: changes), contextlib.redirect_stdout(io.StringIO()),
            ):
                release.make(version)
            yield pathlib.Path(root, "dist", version)


if __name__ == "__main__":
    unittest.main()
