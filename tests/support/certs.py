# SPDX-License-Identifier: MIT
"""Certificates for tests, made with the openssl program: a CA and servers good and bad.

    certs = Certificates(folder)
    certs.ca, certs.good, certs.wrong_name, certs.expired, certs.not_yet, certs.self_signed, certs.second, certs.client
    each a Pair (certificate, key); certs.ca.certificate is what clients trust.
    certs.chained: good with the CA's certificate behind it
    certs.pin(certs.good), certs.fingerprint(certs.client): hexadecimal SHA-256 of the key, of the certificate
"""
import dataclasses
import hashlib
import pathlib
import subprocess

# What Python 3.13 asks of a chain (X509_V_FLAG_X509_STRICT) is in them.
EXTENSIONS = ("subjectAltName={san}\nextendedKeyUsage={usage}\nbasicConstraints=critical,CA:FALSE\n"
              "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")


@dataclasses.dataclass(frozen=True)
class Pair:
    certificate: str
    key: str


def openssl(*words, cwd=None):
    done = subprocess.run(["openssl", *words], cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(words)}: {done.stderr}")


class Certificates:
    NAME = "mail.example.org"
    SAN = f"DNS:{NAME},DNS:localhost,IP:127.0.0.1,IP:::1"

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.authority("ca")
        self.good = self.server("good", self.SAN)
        self.second = self.server("second", "DNS:other.example.org")
        self.wrong_name = self.server("wrong_name", "DNS:elsewhere.example.net")
        self.client = self.signed("client", "DNS:relay.example.net", "clientAuth")
        self.expired = self.dated("expired", "20200101000000Z", "20200201000000Z")
        self.not_yet = self.dated("not_yet", "20980101000000Z", "20990101000000Z")
        self.self_signed = self._self_signed()
        self.chained = self.with_authority("chained", self.good)

    def _key(self, name):
        path = str(self.folder / f"{name}.key")
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
        return path

    def authority(self, name):
        key, path = self._key(name), str(self.folder / f"{name}.pem")
        openssl("req", "-x509", "-new", "-key", key, "-days", "30", "-subj", f"/CN=postern test {name}",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-out", path)
        return Pair(path, key)

    def _request(self, name, key):
        path = str(self.folder / f"{name}.csr")
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", path)
        return path

    def server(self, name, san):
        """A certificate for the names in `san`, signed by the CA."""
        return self.signed(name, san, "serverAuth")

    def signed(self, name, san, usage):
        key = self._key(name)
        request, path = self._request(name, key), str(self.folder / f"{name}.pem")
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(EXTENSIONS.format(san=san, usage=usage))
        openssl("x509", "-req", "-in", request, "-CA", self.ca.certificate, "-CAkey", self.ca.key,
                "-set_serial", str(abs(hash(name)) % 10**9 + 1), "-days", "30", "-extfile", str(extensions),
                "-out", path)
        return Pair(path, key)

    def with_authority(self, name, pair):
        path = self.folder / f"{name}.pem"
        path.write_text(pathlib.Path(pair.certificate).read_text() + pathlib.Path(self.ca.certificate).read_text())
        return Pair(str(path), pair.key)

    def pin(self, pair):
        path = str(self.folder / "pin.der")
        openssl("pkey", "-in", pair.key, "-pubout", "-outform", "DER", "-out", path)
        return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()

    def fingerprint(self, pair):
        path = str(self.folder / "certificate.der")
        openssl("x509", "-in", pair.certificate, "-outform", "DER", "-out", path)
        return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()

    def dated(self, name, start, end):
        """A server certificate that is good from `start` to `end`; `openssl ca` alone can set such dates."""
        key = self._key(name)
        request, path = self._request(name, key), str(self.folder / f"{name}.pem")
        (self.folder / "index.txt").write_text("")
        (self.folder / "serial").write_text("4242\n")
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(EXTENSIONS.format(san=self.SAN, usage="serverAuth"))
        settings = self.folder / "ca.cnf"
        settings.write_text(
            "[ca]\ndefault_ca=d\n[d]\n"
            f"database={self.folder}/index.txt\nserial={self.folder}/serial\nnew_certs_dir={self.folder}\n"
            "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
        openssl("ca", "-batch", "-config", str(settings), "-in", request, "-cert", self.ca.certificate,
                "-keyfile", self.ca.key, "-startdate", start, "-enddate", end, "-extfile", str(extensions), "-notext",
                "-out", path)
        return Pair(path, key)

    def _self_signed(self):
        key, path = self._key("self_signed"), str(self.folder / "self_signed.pem")
        openssl("req", "-x509", "-new", "-key", key, "-days", "30", "-subj", f"/CN={self.NAME}",
                "-addext", f"subjectAltName={self.SAN}", "-out", path)
        return Pair(path, key)
