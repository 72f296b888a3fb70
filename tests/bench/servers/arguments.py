"""What the servers in Python are told: PORT [--tls FOLDER] [--deflate LEVEL]."""

import argparse
import ssl
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The arguments that all of them have."""
    made = argparse.ArgumentParser()
    made.add_argument("port", type=int)
    made.add_argument("--tls", type=Path, help="folder of cert.pem and key.pem")
    made.add_argument("--deflate", type=int, help="compression level")
    return made


def context(folder: Path | None) -> ssl.SSLContext | None:
    """TLS as the ssl module has it, if there is a certificate."""
    if folder is None:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return made
