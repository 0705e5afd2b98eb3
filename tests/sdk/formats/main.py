"""The checkout's door read by parsers that know nothing of it: Python's own, for JSON, XML and CSV; form encoding goes in.
One line per scenario; exit code 1 when one is not as it should be. What it talks to is named by SDK_BASE, SDK_API_KEY and
SDK_TOKEN."""

import csv
import io
import json
import os
import sys
import traceback
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as xml

COMPANY = "11111111-1111-1111-1111-111111111111"
PATH = "/payment/stripe/v1/checkout"
DTOS = "http://schemas.datacontract.org/2004/07/BokaMera.API.ServiceModel.Dtos"
TYPES = "http://schemas.servicestack.net/types"
NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
MEMBERS = [
    "SessionId",
    "Url",
    "Status",
    "ClientSecret",
    "CustomerId",
    "PaymentIntentClientSecret",
    "PaymentIntentId",
    "StripeAccount",
]
TYPES_OF = {"json": "application/json", "xml": "application/xml", "csv": "text/csv"}


def post(path, body, content_type, accept="*/*"):
    """Status, headers and bytes of an answer."""
    request = urllib.request.Request(os.environ["SDK_BASE"] + path, data=body.encode(), method="POST")
    request.add_header("x-api-key", os.environ["SDK_API_KEY"])
    request.add_header("Authorization", f"Bearer {os.environ['SDK_TOKEN']}")
    request.add_header("Content-Type", content_type)
    request.add_header("Accept", accept)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.headers, refused.read()


def members(headers, body):
    """The members of an answer in any format, by their names; None where there is no value."""
    kind = headers.get_content_type()
    if kind == "application/json":
        return json.loads(body)
    if kind == "application/xml":
        root = xml.fromstring(body)
        namespace, name = root.tag[1:].split("}")
        assert (namespace, name) in {
            (DTOS, "StripeCheckoutQueryResponse"),
            (DTOS, "StripeCheckoutStatusQueryResponse"),
            (TYPES, "ErrorResponse"),
        }, root.tag
        return of_xml(root, namespace)
    assert kind == "text/csv", kind
    # Strictly: a quote that does not belong is an error.
    names, row = csv.reader(io.StringIO(body.decode(), newline=""), strict=True)
    assert len(names) == len(row), (names, row)
    return {name: cell or None for name, cell in zip(names, row)}


def of_xml(element, namespace):
    """Texts and None; a list for elements of one name, else a dict in whose order the members stand."""
    if element.get(NIL) == "true":
        return None
    if len(element) == 0:
        return element.text or ""
    names = [child.tag.removeprefix(f"{{{namespace}}}") for child in element]
    assert all("{" not in name for name in names), f"another namespace: {names}"
    if set(names) == {"ResponseError"}:
        return [of_xml(child, namespace) for child in element]
    assert names == sorted(names), f"a data contract wants the alphabet's order: {names}"
    return {name: of_xml(child, namespace) for name, child in zip(names, element)}


def wanted(reference, **more):
    return {
        "CompanyId": COMPANY,
        "CountryCode": "SE",
        "Articles": [{"ArticleId": 1, "ArticleTypeId": 0, "Quantity": 2}, {"ArticleId": 2}],
        "InternalReferenceId": reference,
        "ConfirmationUrl": "https://shop.example/done?a=1&b=<2>",
        "CancelUrl": "https://shop.example/back",
        "UiMode": "hosted",
        **more,
    }


def to_xml(said):
    """As .NET's data contracts write a request, made by Python's own writer."""
    root = xml.Element(f"{{{DTOS}}}StripeV1CreateCheckout")
    for name in sorted(said):
        element = xml.SubElement(root, f"{{{DTOS}}}{name}")
        if name != "Articles":
            element.text = str(said[name])
            continue
        for article in said[name]:
            item = xml.SubElement(element, f"{{{DTOS}}}ArticleToCreate")
            for member in sorted(article):
                xml.SubElement(item, f"{{{DTOS}}}{member}").text = str(article[member])
    return xml.tostring(root, encoding="unicode")


def jsv(articles):
    items = ("{" + ",".join(f"{name}:{value}" for name, value in it.items()) + "}" for it in articles)
    return "[" + ",".join(items) + "]"


def to_csv(said):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(said)
    writer.writerow([jsv(it) if isinstance(it, list) else it for it in said.values()])
    return out.getvalue()


def to_form(said):
    return urllib.parse.urlencode({k: jsv(it) if isinstance(it, list) else it for k, it in said.items()})


WRITERS = {
    "application/json": json.dumps,
    "application/xml": to_xml,
    "text/csv": to_csv,
    "application/x-www-form-urlencoded": to_form,
}


def each_format_is_read_and_each_carries_the_same_values():
    for sent, write in WRITERS.items():
        reference = f'reference "1", <{sent}> & å'
        status, headers, body = post(PATH, write(wanted(reference)), sent)
        assert status == 200, (sent, body)
        latest = members(headers, body)
        # A repeated call replaces the checkout before it, so every answer is of a checkout of its own.
        seen = {latest["SessionId"]}
        for word, kind in TYPES_OF.items():
            for path, accept in [
                (PATH, kind),
                (f"{PATH}.{word}", "*/*"),
                (f"{PATH}?format={word}", "application/json"),
                (f"/{word}/reply/StripeV1CreateCheckout", "*/*"),
                (f"/api/StripeV1CreateCheckout.{word}", "*/*"),
            ]:
                status, headers, body = post(path, write(wanted(reference)), sent, accept)
                assert (status, headers.get_content_type()) == (200, kind), (path, sent, body)
                told = members(headers, body)
                order = sorted(MEMBERS) if word == "xml" else MEMBERS
                assert list(told) == order, (path, list(told))
                assert told["Url"].endswith(told["SessionId"]), told
                changing = {"SessionId", "Url"}
                same = [name for name in MEMBERS if name not in changing]
                assert [told[it] for it in same] == [latest[it] for it in same], (path, told, latest)
                assert told["SessionId"] not in seen
                seen.add(told["SessionId"])
        named = headers["Content-Disposition"]
        assert named == "attachment; filename=StripeV1CreateCheckout.csv", named


def the_status_is_the_same_in_each_format():
    _, headers, body = post(PATH, json.dumps(wanted("status")), "application/json")
    session = members(headers, body)["SessionId"]
    asked = json.dumps({"CompanyId": COMPANY, "SessionId": session})
    for word in TYPES_OF:
        status, headers, body = post(f"{PATH}/status.{word}", asked, "application/json")
        assert status == 200, body
        assert members(headers, body) == {"CustomerEmail": None, "Status": "open"}, (word, body)


def an_error_says_the_same_in_each_format():
    wrong = wanted("", CompanyId='"no", <&>', UiMode="custom")
    _, headers, body = post(f"{PATH}.json", json.dumps(wrong), "application/json")
    expected = members(headers, body)["ResponseStatus"]
    assert [it["FieldName"] for it in expected["Errors"]] == ["CompanyId", "InternalReferenceId", "UiMode"]
    for sent, write in WRITERS.items():
        for word, kind in TYPES_OF.items():
            status, headers, body = post(f"{PATH}.{word}", write(wrong), sent)
            assert (status, headers.get_content_type()) == (400, kind), (sent, word, body)
            told = members(headers, body)["ResponseStatus"]
            if word == "csv":
                # What is nested is JSV in its one cell.
                for text in [expected["ErrorCode"], *(it["FieldName"] for it in expected["Errors"])]:
                    assert text in told, (text, told)
            else:
                assert told == expected, (sent, word, told)


def what_is_no_such_format_is_refused_in_the_format_that_was_asked_for():
    for sent, body in [
        ("application/json", '{"CompanyId":'),
        ("application/xml", "<a><b></a>"),
        ("application/xml", '<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>'),
        ("text/csv", "CompanyId,CountryCode\r\nSE\r\n"),
    ]:
        for word in TYPES_OF:
            status, headers, answer = post(f"{PATH}.{word}", body, sent)
            assert status == 400, (sent, word, answer)
            told = members(headers, answer)["ResponseStatus"]
            assert "SerializationException" in (told if word == "csv" else told["ErrorCode"]), told


def main():
    failed = []
    for scenario in [
        each_format_is_read_and_each_carries_the_same_values,
        the_status_is_the_same_in_each_format,
        an_error_says_the_same_in_each_format,
        what_is_no_such_format_is_refused_in_the_format_that_was_asked_for,
    ]:
        name = scenario.__name__.replace("_", " ")
        try:
            scenario()
            print(f"ok       {name}")
        except Exception:
            failed.append(name)
            print(f"FAILED   {name}\n{traceback.format_exc()}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
