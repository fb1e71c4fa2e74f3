"""Completions and manual pages, used by the programs that they are made for."""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from gateway import NAME, package_version, run

COMMANDS = ["demo", "serve", "simulate", "schema", "check", "completions", "man"]
SHELLS = ["bash", "elvish", "fish", "powershell", "zsh"]
# A page has a version in place of a date; breaks around values cost nothing but themselves.
HARMLESS = ["missing date", "skipping paragraph macro: br"]


def completed(*words):
    """What bash offers for the last word, the script of the binary loaded."""
    script = run(["completions", "bash"]).stdout
    ask = f'''
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
        function=$(complete -p {NAME} | sed -E 's/.*-F ([^ ]+).*/\\1/')
        "$function" {NAME} "${{@: -1}}" "${{@: -2:1}}"
        printf '%s\\n' "${{COMPREPLY[@]}}"
    '''
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(script)
        file.flush()
        offered = subprocess.run(
            ["bash", "--norc", "--noprofile", "-uc", ask, "bash", file.name, NAME, *words],
            capture_output=True, text=True,
        )
    if offered.returncode != 0 or offered.stderr:
        raise AssertionError(offered.stderr)
    return offered.stdout.split()


def page(*command):
    return run(["man", *command]).stdout


def mandoc(text, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{NAME}.1"
        file.write_text(text)
        return subprocess.run(["mandoc", *arguments, file], capture_output=True, text=True).stdout


class Completions(unittest.TestCase):
    def test_bash_completes_flags_of_the_command(self):
        self.assertEqual(completed("serve", "--upstream-re"), ["--upstream-region"])

    def test_bash_completes_commands_and_shells(self):
        self.assertEqual(completed("si"), ["simulate"])
        self.assertEqual(completed("completions", "z"), ["zsh"])

    def test_bash_offers_no_flag_of_another_command(self):
        self.assertEqual(completed("schema", "--upstream-re"), [])

    def test_every_shell_has_a_script_that_knows_the_flags(self):
        for shell in SHELLS:
            made = run(["completions", shell])

            self.assertEqual(made.returncode, 0, shell)
            self.assertIn("upstream-region", made.stdout, shell)

    def test_an_unknown_shell_is_refused_with_those_that_are_known(self):
        refused = run(["completions", "tcsh"])

        self.assertEqual(refused.returncode, 2)
        for shell in SHELLS:
            self.assertIn(shell, refused.stderr)


class ManualPages(unittest.TestCase):
    def test_every_page_is_clean(self):
        for command in [[], *([name] for name in COMMANDS)]:
            found = mandoc(page(*command), "-T", "lint", "-W", "warning").splitlines()
            found = [line for line in found if not any(known in line for known in HARMLESS)]

            self.assertEqual(found, [], command)

    def test_the_check_of_pages_notices_a_broken_one(self):
        found = mandoc(page("serve") + "\n.NOSUCH macro\n", "-T", "lint", "-W", "warning")

        self.assertIn("NOSUCH", found)

    def test_a_page_tells_the_flags_of_its_command_with_variable_and_default(self):
        text = " ".join(mandoc(page("serve"), "-T", "ascii", "-O", "width=200").split())

        for part in ("GATEWAY_UPSTREAM__REGION", "Default: 127.0.0.1:8080", "HUAWEICLOUD_SDK_AK"):
            self.assertIn(part, text)
        self.assertRegex(text, rf"{NAME} {re.escape(package_version())} {NAME}-serve\(1\)$")

    def test_the_first_page_leads_to_the_others(self):
        text = mandoc(page(), "-T", "ascii")

        for name in COMMANDS:
            self.assertIn(f"{NAME}-{name}(1)", text)


if __name__ == "__main__":
    unittest.main()
