"""The official Python SDK works against the simulated upstream unchanged.

Starts the binary that SCREEN_RECORD_GATEWAY names, on a free port, and stops it.
"""

import datetime
import os
import re
import subprocess
import tempfile
import unittest

# The SDK writes an application id into the home directory when it is imported.
os.environ["HOME"] = tempfile.mkdtemp(prefix="sdk-home-")

from huaweicloudsdkcore.auth.credentials import BasicCredentials  # noqa: E402
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException  # noqa: E402
from huaweicloudsdkcore.exceptions.exceptions import ServerResponseException  # noqa: E402
from huaweicloudsdkworkspace import v2  # noqa: E402

PROJECT = "089b2f9a3d80d3062f24c00ca4ed5cbd"
ACCESS, SECRET = "SDKTESTAK00000000001", "sdk/test+secret=key~1"


class Simulator:
    """The simulated upstream as a process."""

    def __init__(self, *arguments):
        command = [os.environ["SCREEN_RECORD_GATEWAY"], "simulate", "--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(
            [*command, "--access-key", f"{ACCESS}:{SECRET}", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        first_line = self.process.stdout.readline()
        self.address = re.search(r"http://\S+", first_line).group()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.process.stdout.close()

    def client(self, access=ACCESS, secret=SECRET, project=PROJECT):
        credentials = BasicCredentials(access, secret, project)
        builder = v2.WorkspaceClient.new_builder().with_credentials(credentials)
        return builder.with_endpoint(self.address).build()


class OfficialSdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.simulator = Simulator("--records", "250", "--seed", "7")
        cls.client = cls.simulator.client()

    @classmethod
    def tearDownClass(cls):
        cls.simulator.stop()

    def list(self, **filters):
        return self.client.list_screen_records(v2.ListScreenRecordsRequest(**filters))

    def uploaded(self):
        return self.list(status="UPLOAD_COMPLETED", limit=5).screen_records

    def test_a_list_has_a_page_and_the_number_of_all(self):
        answer = self.list()

        self.assertEqual(len(answer.screen_records), 100)
        self.assertGreaterEqual(answer.total_count, 250)

    def test_pages_put_together_are_the_whole_list_without_repetition(self):
        pages = [self.list(limit=60, offset=offset).screen_records for offset in range(0, 300, 60)]

        ids = [record.id for page in pages for record in page]

        self.assertEqual(len(ids), len(set(ids)))
        self.assertGreaterEqual(len(ids), 250)

    def test_filters_narrow_a_list(self):
        one = self.uploaded()[0]

        for name, value in [
            ("status", "UPLOAD_COMPLETED"),
            ("type", one.type),
            ("username", one.username),
            ("desktop_id", one.desktop_id),
        ]:
            answer = self.list(**{name: value})

            self.assertGreater(answer.total_count, 0, name)
            self.assertLess(answer.total_count, 250, name)
            self.assertEqual({getattr(record, name) for record in answer.screen_records}, {value})

    def test_several_desktop_names_are_taken_with_commas_between_them(self):
        names = sorted({record.desktop_name for record in self.list().screen_records})[:2]

        answer = self.list(desktop_names=",".join(names))

        self.assertEqual({record.desktop_name for record in answer.screen_records}, set(names))

    def test_a_time_window_narrows_a_list(self):
        now = datetime.datetime.now(datetime.timezone.utc)
        shape = "%Y-%m-%d %H:%M:%S"
        week_ago = (now - datetime.timedelta(days=7)).strftime(shape)

        recent = self.list(start_time=week_ago, end_time=now.strftime(shape)).total_count
        older = self.list(end_time=week_ago).total_count

        self.assertGreater(recent, 50)
        self.assertGreater(older, 50)

    def test_a_list_can_be_sorted_both_ways(self):
        ascending = self.list(sort_field="start_time", sort_type="asc", limit=1000)
        descending = self.list(sort_field="start_time", sort_type="desc", limit=1000)

        first, last = ascending.screen_records[0].id, descending.screen_records[-1].id
        self.assertEqual(first, last)

    def test_a_wrong_parameter_is_refused_by_name(self):
        with self.assertRaises(ClientRequestException) as refused:
            self.list(limit=1001)

        self.assertEqual(refused.exception.status_code, 400)
        self.assertEqual(refused.exception.error_code, "WKS.00211102")

    def test_a_record_is_shown_as_it_was_listed(self):
        listed = self.uploaded()[0]

        shown = self.client.show_screen_record(v2.ShowScreenRecordRequest(listed.id))

        self.assertEqual(shown.to_dict(), listed.to_dict())

    def test_either_form_of_an_id_shows_the_record(self):
        dashed = next(r for r in self.list().screen_records if "-" in r.id)

        request = v2.ShowScreenRecordRequest(dashed.id.replace("-", "").upper())
        shown = self.client.show_screen_record(request)

        self.assertEqual(shown.id, dashed.id)

    def test_operations_are_listed_and_filtered(self):
        record = max(self.uploaded(), key=lambda record: record.duration)
        request = v2.ListDesktopOperationsRequest(record.id)

        every = self.client.list_desktop_operations(request)
        request.event_type = every.operations[0].event_type
        some = self.client.list_desktop_operations(request)

        self.assertEqual(every.operations[0].screen_record_id, record.id)
        self.assertLessEqual(every.operations[-1].relative_start_time, record.duration)
        self.assertEqual({o.event_type for o in some.operations}, {request.event_type})
        self.assertLess(some.total_count, every.total_count)

    def test_download_addresses_come_for_records_with_a_file(self):
        with_file = [record.id for record in self.uploaded()]
        without = [r.id for r in self.list(status="REC_FAILED", limit=2).screen_records]
        body = v2.ListDownloadAddressRequestBody(with_file + without)

        answer = self.client.list_download_address(v2.ListDownloadAddressRequest(body))

        self.assertEqual([address.id for address in answer.address], with_file)
        self.assertTrue(all("Signature=" in a.download_url for a in answer.address))

    def test_updates_and_deletions_are_taken(self):
        record = self.uploaded()[0].id
        update = v2.UpdateScreenRecordsRequestBody(traffic_limit_type="FULL")
        item = v2.BatchDeleteScreenRecordsRequestBodyScreenRecords(record)
        delete = v2.BatchDeleteScreenRecordsRequestBody([item])

        updated = self.client.update_screen_records(v2.UpdateScreenRecordsRequest(record, update))
        deleted = self.client.batch_delete_screen_records(
            v2.BatchDeleteScreenRecordsRequest(delete)
        )

        self.assertEqual(updated.result_code, "0")
        self.assertEqual(len(deleted.job_id), 32)

    def test_a_missing_record_is_not_found(self):
        with self.assertRaises(ClientRequestException) as refused:
            self.client.show_screen_record(v2.ShowScreenRecordRequest("no-such-record"))

        self.assertEqual(refused.exception.status_code, 404)
        self.assertEqual(refused.exception.error_code, "WKS.00211902")
        self.assertEqual(len(refused.exception.request_id), 32)

    def test_a_foreign_project_is_forbidden_with_an_encoded_reason(self):
        client = self.simulator.client(project="00000000000000000000000000000000")

        with self.assertRaises(ClientRequestException) as refused:
            client.list_screen_records(v2.ListScreenRecordsRequest())

        self.assertEqual(refused.exception.status_code, 403)
        self.assertTrue(refused.exception.encoded_auth_msg)

    def test_documented_errors_come_on_demand(self):
        for record, raised, status, code in [
            ("fault-wks-conflict-409", ClientRequestException, 409, "WKS.00010032"),
            ("fault-wks-internal-500", ServerResponseException, 500, "WKS.00211401"),
            ("fault-wks-unavailable-503", ServerResponseException, 503, "WKS.00050902"),
        ]:
            with self.assertRaises(raised) as refused:
                self.client.show_screen_record(v2.ShowScreenRecordRequest(record))

            self.assertEqual(refused.exception.status_code, status)
            self.assertEqual(refused.exception.error_code, code)


class WrongKeys(unittest.TestCase):
    def setUp(self):
        self.simulator = Simulator()
        self.addCleanup(self.simulator.stop)

    def refused(self, client):
        with self.assertRaises(ClientRequestException) as refused:
            client.list_screen_records(v2.ListScreenRecordsRequest())
        self.assertEqual(refused.exception.status_code, 401)
        self.assertEqual(refused.exception.error_code, "APIGW.0301")
        return refused.exception.error_msg

    def test_a_wrong_secret_is_refused(self):
        message = self.refused(self.simulator.client(secret="wrong"))

        self.assertIn("verify aksk signature fail", message)

    def test_an_unknown_key_is_refused(self):
        message = self.refused(self.simulator.client(access="UNKNOWNAK00000000001"))

        self.assertIn("ak not exist", message)

    def test_a_key_is_locked_after_more_than_five_failures_in_a_row(self):
        wrong, right = self.simulator.client(secret="wrong"), self.simulator.client()
        for _ in range(6):
            self.refused(wrong)

        message = self.refused(right)

        self.assertIn("failed to reach the limit", message)


if __name__ == "__main__":
    unittest.main()
