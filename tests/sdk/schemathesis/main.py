"""Schemathesis reads the OpenAPI document of a running service and asks every operation what the document allows and
what it does not. No answer may be a 5xx, have a status, a header or a media type that the document does not know, or
break its own schema; no wrong method or missing key may be let through.

SDK_BASE is the service; SDK_EXAMPLES how many requests are drawn for each operation; SDK_SEED makes a run again;
SDK_LONG=1 asks under every name, and follows what one answer names to the next request.
"""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
    "missing_required_header",
]
# The same operations under other names (a format in the path): asked in long runs alone.
ALIASES = r"/reply/|^/api/StripeV1|[.](json|xml|csv|jsv)$"
# What would end the very keys that the run is made with.
ENDS_KEYS = ["revokeKey", "rollKey", "revokeCustomerToken"]
# The feed, which goes on for as long as somebody listens: each such request would end by its timeout.
NEVER_ENDS = ["events"]


def main() -> int:
    phases = ["examples", "coverage", "fuzzing"]
    long = os.environ.get("SDK_LONG") == "1"
    if long:
        phases.append("stateful")
    command = [
        # Not its script: that names the folder in which it was installed first.
        sys.executable,
        "-m",
        "schemathesis.cli",
        f"--config-file={os.path.join(HERE, 'schemathesis.toml')}",
        "run",
        os.environ["SDK_BASE"] + "/openapi.json",
        f"--phases={','.join(phases)}",
        f"--checks={','.join(CHECKS)}",
        f"--max-examples={os.environ.get('SDK_EXAMPLES', '3')}",
        # One: Python 3.11 cannot parse source in two threads at once, and Hypothesis parses that of every lambda it shows.
        "--workers=1",
        "--request-timeout=30",
        "--continue-on-failure",
        "--warnings=off",
        "--no-color",
    ]
    if seed := os.environ.get("SDK_SEED"):
        command.append(f"--seed={seed}")
    if not long:
        command.append(f"--exclude-path-regex={ALIASES}")
    for name in ENDS_KEYS + NEVER_ENDS:
        command.append(f"--exclude-operation-id={name}")
    # What it keeps of a run (a `.hypothesis` folder) goes with the copy that this file is run from.
    return subprocess.run(command, cwd=HERE, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
