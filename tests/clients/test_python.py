"""Holds Corten's API server against the Python client; the server is the one KUBECONFIG names."""

import unittest

from kubernetes import client, config, dynamic, watch
from kubernetes.client.rest import ApiException

SECONDS = 30  # an event that does not come within this fails its test


class Clients(unittest.TestCase):
    def setUp(self):
        config.load_kube_config()
        self.core = client.CoreV1Api()
        made = self.core.create_namespace({"metadata": {"generateName": "python-"}})
        self.namespace = made.metadata.name

    def refused(self, status, reason, call, *args, **named):
        with self.assertRaises(ApiException) as caught:
            call(*args, **named)
        self.assertEqual((caught.exception.status, caught.exception.reason), (status, caught.exception.reason))
        self.assertIn(f'"reason": "{reason}"', caught.exception.body.replace('"reason":"', '"reason": "'))

    def test_config_map(self):
        core, ns = self.core, self.namespace
        made = core.create_namespaced_config_map(ns, {"metadata": {"name": "a"}, "data": {"k": "1"}})
        self.refused(409, "AlreadyExists", core.create_namespaced_config_map, ns, {"metadata": {"name": "a"}})
        patched = core.patch_namespaced_config_map("a", ns, {"data": {"k": "2"}})
        self.assertEqual(patched.data, {"k": "2"})
        self.refused(409, "Conflict", core.replace_namespaced_config_map, "a", ns, made)
        core.replace_namespaced_config_map("a", ns, patched)
        core.delete_namespaced_config_map("a", ns)
        self.refused(404, "NotFound", core.read_namespaced_config_map, "a", ns)

    def test_deployment(self):
        apps, labels = client.AppsV1Api(), {"app": "x"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        body = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": labels}, "template": template}}
        self.assertEqual(apps.create_namespaced_deployment(self.namespace, body).spec.replicas, 1)
        apps.patch_namespaced_deployment_scale("d", self.namespace, {"spec": {"replicas": 3}})
        self.assertEqual(apps.read_namespaced_deployment("d", self.namespace).spec.replicas, 3)
        body["spec"]["selector"] = {"matchLabels": {"app": "y"}}
        body["metadata"]["name"] = "e"
        self.refused(422, "Invalid", apps.create_namespaced_deployment, self.namespace, body)

    def test_watch(self):
        core, ns = self.core, self.namespace
        version = core.list_namespaced_config_map(ns).metadata.resource_version
        core.create_namespaced_config_map(ns, {"metadata": {"name": "a"}})
        core.patch_namespaced_config_map("a", ns, {"data": {"k": "2"}})
        core.delete_namespaced_config_map("a", ns)
        stream, seen = watch.Watch(), []
        for event in stream.stream(core.list_namespaced_config_map, ns, resource_version=version, timeout_seconds=SECONDS):
            seen.append((event["type"], event["object"].metadata.name))
            if event["type"] == "DELETED":
                stream.stop()
        self.assertEqual(seen, [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")])

    def test_pages(self):
        core, ns, names, token = self.core, self.namespace, [], None
        for i in range(5):
            core.create_namespaced_config_map(ns, {"metadata": {"name": f"m{i}"}})
        while True:
            page = core.list_namespaced_config_map(ns, limit=2, _continue=token)
            names += [item.metadata.name for item in page.items]
            if not (token := page.metadata._continue):
                break
        self.assertEqual(names, [f"m{i}" for i in range(5)])

    def test_dynamic(self):
        found = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="v1", kind="ConfigMap")
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}}
        made = found.server_side_apply(body=body, name="a", namespace=self.namespace, field_manager="python")
        self.assertEqual(made.metadata.managedFields[0].operation, "Apply")
        self.assertEqual(found.get(name="a", namespace=self.namespace).data.k, "1")


if __name__ == "__main__":
    unittest.main()
