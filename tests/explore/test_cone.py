"""Simple Cone Search: what clients read, and what they may send."""

import io
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import votable

from skyloom.explore import cone
from skyloom.explore.catalog import Catalog
from tests.explore.toy import N


@pytest.fixture(scope="module")
def catalog(results):
    return Catalog(results[0] / "toy/catalog/galaxies.parquet")


def asked(catalog, query: str, **more):
    status, content, body = cone.respond(catalog, query, **more)
    assert (status, content) == (200, "application/x-votable+xml")
    document = votable.parse(io.BytesIO(body))
    return document.get_first_table(), {info.name: info.value for info in document.resources[0].infos}


@pytest.mark.parametrize("centre", [(0.0, 0.0, 0.5), (359.9, 0.2, 0.4), (-0.1, 0.2, 0.4), (180.0, 89.0, 179.0)])
def test_a_cone_holds_what_astropy_finds(results, catalog, centre):
    _, values = results
    table, infos = asked(catalog, "RA={}&DEC={}&SR={}".format(*centre))
    separation = SkyCoord(values["ra"], values["dec"], unit="deg").separation(SkyCoord(*centre[:2], unit="deg")).deg
    order = np.argsort(separation)
    expected = values["targetid"][order[separation[order] <= centre[2]]]
    assert [int(text) for text in table.array["targetid"]] == expected.tolist() and len(expected) > 2
    np.testing.assert_allclose(table.array["distance_arcsec"], np.sort(separation)[: len(expected)] * 3600, rtol=1e-6)
    assert infos["QUERY_STATUS"] == "OK"
    ucds = {field.ucd: field for field in table.fields}
    assert ucds["ID_MAIN"].datatype == "char" and ucds["POS_EQ_RA_MAIN"].datatype == "double"
    assert {"POS_EQ_DEC_MAIN", "src.redshift"} <= set(ucds)


def test_verbosity_length_and_an_empty_cone(catalog):
    few, _ = asked(catalog, "ra=0&dec=0&sr=3&verb=1")
    most, _ = asked(catalog, "ra=0&dec=0&sr=3&verb=3")
    assert len(few.fields) < 8 < len(most.fields) and len(few.array) == len(most.array) == N
    cut, infos = asked(catalog, "RA=0&DEC=0&SR=3&MAXREC=5")
    assert len(cut.array) == 5 and infos["QUERY_STATUS"] == "OVERFLOW"
    assert len(asked(catalog, "RA=0&DEC=0&SR=3", most=7)[0].array) == 7
    for empty in ("RA=0&DEC=0&SR=0", "RA=100&DEC=0&SR=1", "RA=0&DEC=0&SR=3&MAXREC=0"):
        table, infos = asked(catalog, empty)
        assert len(table.array) == 0 and len(table.fields) > 8 and infos["QUERY_STATUS"] == "OK"


def test_bad_requests_get_the_standards_error(catalog):
    long = "&".join(f"a{i}=1" for i in range(60))
    for wrong in ("", "RA=1", "RA=x&DEC=0&SR=1", "RA=0&DEC=95&SR=1", "RA=0&DEC=0&SR=-1", "RA=0&DEC=0&SR=nan",
                  "RA=0&DEC=0&SR=1&VERB=inf", "RA=1e400&DEC=0&SR=1", "RA=0&DEC=0&SR=1" + "0" * 5000, "%00%ff=\udcff",
                  "RA=<script>&DEC=0&SR=1", long):  # fmt: skip
        _, infos = asked(catalog, wrong)
        assert infos["QUERY_STATUS"] == "ERROR" and infos["Error"]


def test_pyvo_searches_it_through_a_server(results, catalog):
    pyvo = pytest.importorskip("pyvo")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, content, body = cone.respond(catalog, self.path.partition("?")[2])
            self.send_response(status)
            self.send_header("Content-Type", content)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/cone?"
        found = pyvo.conesearch(address, pos=(0.0, 0.0), radius=3.0)
        assert len(found) == N and {int(record.id) for record in found} == set(results[1]["targetid"].tolist())
        assert abs(found[0].pos.ra.deg - results[1]["ra"][int(found[0].id) - 10]) < 1e-9
        with pytest.raises(pyvo.dal.exceptions.DALQueryError, match="SR"):
            pyvo.conesearch(address, pos=(0.0, 0.0), radius=300.0)
        server.shutdown()
