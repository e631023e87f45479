package clients

import (
	"context"
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	appsapply "k8s.io/client-go/applyconfigurations/apps/v1"
	coreapply "k8s.io/client-go/applyconfigurations/core/v1"
	metaapply "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func configMap(name string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"a": "1"}}
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "x"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "busybox"}}},
	}
}

func deployment(name string) *appsv1.Deployment {
	labels := map[string]string{"app": "x"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod("").Spec},
		},
	}
}

func service(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "x"}, Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

func TestConfigMap(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		maps := client.CoreV1().ConfigMaps(ns)
		made, err := maps.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"l": "v"}},
			Data:       map[string]string{"text": "ü"}, BinaryData: map[string][]byte{"bytes": {0, 255}},
		}, metav1.CreateOptions{FieldManager: "me"})
		must(t, err)
		equal(t, "managers", len(made.ManagedFields), 1)
		equal(t, "manager", made.ManagedFields[0].Manager, "me")
		_, err = maps.Create(ctx, configMap("a"), metav1.CreateOptions{})
		refused(t, err, errors.IsAlreadyExists, `configmaps "a" already exists`)

		read, err := maps.Get(ctx, "a", metav1.GetOptions{})
		must(t, err)
		equal(t, "text", read.Data["text"], "ü")
		equal(t, "bytes", string(read.BinaryData["bytes"]), "\x00\xff")

		read.Data["text"] = "new"
		updated, err := maps.Update(ctx, read, metav1.UpdateOptions{})
		must(t, err)
		if updated.ResourceVersion == made.ResourceVersion {
			t.Error("an update leaves the resource version")
		}
		same, err := maps.Update(ctx, updated, metav1.UpdateOptions{})
		must(t, err)
		equal(t, "version after an update that changes nothing", same.ResourceVersion, updated.ResourceVersion)
		_, err = maps.Update(ctx, made, metav1.UpdateOptions{})
		refused(t, err, errors.IsConflict, `Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again`)

		for _, patch := range []struct {
			kind types.PatchType
			body string
			want string
		}{
			{types.MergePatchType, `{"data":{"text":"merge"}}`, "merge"},
			{types.StrategicMergePatchType, `{"data":{"text":"strategic"}}`, "strategic"},
			{types.JSONPatchType, `[{"op":"test","path":"/data/text","value":"strategic"},{"op":"replace","path":"/data/text","value":"json"}]`, "json"},
			{types.ApplyYAMLPatchType, "apiVersion: v1\nkind: ConfigMap\ndata:\n  text: json\n  more: yaml\n", "json"},
		} {
			patched, err := maps.Patch(ctx, "a", patch.kind, []byte(patch.body), metav1.PatchOptions{FieldManager: "patcher"})
			must(t, err)
			equal(t, string(patch.kind), patched.Data["text"], patch.want)
		}

		_, err = maps.Patch(ctx, "a", types.MergePatchType, []byte(`{"metadata":{"resourceVersion":"`+made.ResourceVersion+`"}}`), metav1.PatchOptions{})
		refused(t, err, errors.IsConflict, `Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again`)

		wrong := types.UID("00000000-0000-0000-0000-000000000000")
		err = maps.Delete(ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &wrong}})
		refused(t, err, errors.IsConflict, fmt.Sprintf(`Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (%s) does not match the UID in record (%s). The object might have been deleted and then recreated`, wrong, made.UID))
		must(t, maps.Delete(ctx, "a", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &made.UID}}))
		_, err = maps.Get(ctx, "a", metav1.GetOptions{})
		refused(t, err, errors.IsNotFound, `configmaps "a" not found`)
	})
}

func TestDeployment(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		deployments := client.AppsV1().Deployments(ns)
		made, err := deployments.Create(ctx, deployment("d"), metav1.CreateOptions{})
		must(t, err)
		equal(t, "default replicas", *made.Spec.Replicas, 1)
		equal(t, "default strategy", made.Spec.Strategy.Type, appsv1.RollingUpdateDeploymentStrategyType)
		equal(t, "default surge", made.Spec.Strategy.RollingUpdate.MaxSurge.String(), "25%")
		equal(t, "generation", made.Generation, 1)

		scale, err := deployments.GetScale(ctx, "d", metav1.GetOptions{})
		must(t, err)
		equal(t, "selector of the scale", scale.Status.Selector, "app=x")
		scale.Spec.Replicas = 3
		_, err = deployments.UpdateScale(ctx, "d", scale, metav1.UpdateOptions{})
		must(t, err)
		read, err := deployments.Get(ctx, "d", metav1.GetOptions{})
		must(t, err)
		equal(t, "replicas", *read.Spec.Replicas, 3)
		equal(t, "generation", read.Generation, 2)

		read.Status.ObservedGeneration = 2
		read.Spec.Paused = true
		read, err = deployments.UpdateStatus(ctx, read, metav1.UpdateOptions{})
		must(t, err)
		equal(t, "observed generation", read.Status.ObservedGeneration, 2)
		equal(t, "spec by way of status", read.Spec.Paused, false)

		patched, err := deployments.Patch(ctx, "d", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"c","env":[{"name":"A","value":"b"}]},{"name":"d","image":"x"}]}}}}`), metav1.PatchOptions{})
		must(t, err)
		equal(t, "containers", len(patched.Spec.Template.Spec.Containers), 2)

		patched.Spec.Selector.MatchLabels = map[string]string{"app": "y"}
		patched.Spec.Template.Labels = map[string]string{"app": "y"}
		_, err = deployments.Update(ctx, patched, metav1.UpdateOptions{})
		if !errors.IsInvalid(err) {
			t.Errorf("a new selector: %v", err)
		}

		bad := deployment("bad")
		bad.Spec.Template.Labels = nil
		_, err = deployments.Create(ctx, bad, metav1.CreateOptions{})
		refused(t, err, errors.IsInvalid, "Deployment.apps \"bad\" is invalid: spec.template.metadata.labels: Invalid value: null: `selector` does not match template `labels`")
		must(t, deployments.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
		left, err := deployments.List(ctx, metav1.ListOptions{})
		must(t, err)
		equal(t, "left", len(left.Items), 0)
	})
}

func TestPod(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		pods := client.CoreV1().Pods(ns)
		made, err := pods.Create(ctx, pod("p"), metav1.CreateOptions{})
		must(t, err)
		equal(t, "phase", made.Status.Phase, corev1.PodPending)
		equal(t, "quality", made.Status.QOSClass, corev1.PodQOSBestEffort)
		equal(t, "pull policy", made.Spec.Containers[0].ImagePullPolicy, corev1.PullAlways)
		equal(t, "account", made.Spec.ServiceAccountName, "default")
		equal(t, "tolerations", len(made.Spec.Tolerations), 2)

		made.Spec.Containers[0].Image = "other"
		made, err = pods.Update(ctx, made, metav1.UpdateOptions{})
		must(t, err)
		made.Spec.Hostname = "new"
		_, err = pods.Update(ctx, made, metav1.UpdateOptions{})
		if !errors.IsInvalid(err) {
			t.Errorf("a new hostname: %v", err)
		}
		must(t, pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Target: corev1.ObjectReference{Kind: "Node", Name: "n"}}, metav1.CreateOptions{}))
		found, err := pods.List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=n", LabelSelector: "app in (x,y)"})
		must(t, err)
		equal(t, "pods of the node", len(found.Items), 1)

		// A bound pod is the kubelet's to end; the second delete with no grace takes it away.
		must(t, pods.Delete(ctx, "p", metav1.DeleteOptions{}))
		ending, err := pods.Get(ctx, "p", metav1.GetOptions{})
		must(t, err)
		if ending.DeletionTimestamp == nil || *ending.DeletionGracePeriodSeconds != 30 {
			t.Errorf("ending: %v, %v", ending.DeletionTimestamp, ending.DeletionGracePeriodSeconds)
		}
		none := int64(0)
		must(t, pods.Delete(ctx, "p", metav1.DeleteOptions{GracePeriodSeconds: &none}))
		_, err = pods.Get(ctx, "p", metav1.GetOptions{})
		refused(t, err, errors.IsNotFound, `pods "p" not found`)
	})
}

func TestService(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		services := client.CoreV1().Services(ns)
		made, err := services.Create(ctx, service("s"), metav1.CreateOptions{})
		must(t, err)
		equal(t, "type", made.Spec.Type, corev1.ServiceTypeClusterIP)
		equal(t, "target port", made.Spec.Ports[0].TargetPort, intstr.FromInt32(80))
		if made.Spec.ClusterIP == "" || made.Spec.ClusterIP != made.Spec.ClusterIPs[0] {
			t.Errorf("addresses: %q, %q", made.Spec.ClusterIP, made.Spec.ClusterIPs)
		}
		made.Spec.Type = corev1.ServiceTypeNodePort
		made, err = services.Update(ctx, made, metav1.UpdateOptions{})
		must(t, err)
		if port := made.Spec.Ports[0].NodePort; port < 30000 || port > 32767 {
			t.Errorf("node port: %d", port)
		}
		taken := service("taken")
		taken.Spec.ClusterIP = made.Spec.ClusterIP
		_, err = services.Create(ctx, taken, metav1.CreateOptions{})
		refused(t, err, errors.IsInvalid, fmt.Sprintf(`Service "taken" is invalid: spec.clusterIPs: Invalid value: ["%s"]: failed to allocate IP %s: provided IP is already allocated`, made.Spec.ClusterIP, made.Spec.ClusterIP))
		must(t, services.Delete(ctx, "s", metav1.DeleteOptions{}))
		_, err = services.Create(ctx, taken, metav1.CreateOptions{})
		must(t, err)
	})
}

func TestApply(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		template := coreapply.PodTemplateSpec().WithLabels(map[string]string{"app": "x"}).
			WithSpec(coreapply.PodSpec().WithContainers(coreapply.Container().WithName("c").WithImage("one")))
		applied := appsapply.Deployment("d", ns).WithSpec(appsapply.DeploymentSpec().WithReplicas(2).
			WithSelector(metaapply.LabelSelector().WithMatchLabels(map[string]string{"app": "x"})).WithTemplate(template))
		deployments := client.AppsV1().Deployments(ns)
		first, err := deployments.Apply(ctx, applied, metav1.ApplyOptions{FieldManager: "first"})
		must(t, err)
		equal(t, "operation", first.ManagedFields[0].Operation, metav1.ManagedFieldsOperationApply)
		again, err := deployments.Apply(ctx, applied, metav1.ApplyOptions{FieldManager: "first"})
		must(t, err)
		equal(t, "version after the same apply", again.ResourceVersion, first.ResourceVersion)

		other := appsapply.Deployment("d", ns).WithSpec(appsapply.DeploymentSpec().WithReplicas(5))
		_, err = deployments.Apply(ctx, other, metav1.ApplyOptions{FieldManager: "second"})
		refused(t, err, errors.IsConflict, `Apply failed with 1 conflict: conflict with "first": .spec.replicas`)
		forced, err := deployments.Apply(ctx, other, metav1.ApplyOptions{FieldManager: "second", Force: true})
		must(t, err)
		equal(t, "replicas", *forced.Spec.Replicas, 5)

		mine, err := appsapply.ExtractDeployment(forced, "second")
		must(t, err)
		equal(t, "extracted replicas", *mine.Spec.Replicas, 5)
		if mine.Spec.Template != nil {
			t.Error("the second manager owns the template")
		}
		// What its only manager leaves out goes; what another holds stays.
		_, err = client.CoreV1().ConfigMaps(ns).Apply(ctx, coreapply.ConfigMap("m", ns).WithData(map[string]string{"a": "1", "b": "2"}), metav1.ApplyOptions{FieldManager: "first"})
		must(t, err)
		less, err := client.CoreV1().ConfigMaps(ns).Apply(ctx, coreapply.ConfigMap("m", ns).WithData(map[string]string{"b": "2"}), metav1.ApplyOptions{FieldManager: "first"})
		must(t, err)
		equal(t, "data left", fmt.Sprint(less.Data), "map[b:2]")
		_, err = client.CoreV1().Services(ns).Apply(ctx, coreapply.Service("s", ns).WithSpec(coreapply.ServiceSpec().
			WithPorts(coreapply.ServicePort().WithPort(80).WithName("a"), coreapply.ServicePort().WithPort(81).WithName("b"))), metav1.ApplyOptions{FieldManager: "first"})
		must(t, err)
		_, err = client.CoreV1().Pods(ns).Apply(ctx, coreapply.Pod("p", ns).WithSpec(coreapply.PodSpec().
			WithContainers(coreapply.Container().WithName("c").WithImage("i"))), metav1.ApplyOptions{FieldManager: "first"})
		must(t, err)
		status, err := client.CoreV1().Pods(ns).ApplyStatus(ctx, coreapply.Pod("p", ns).WithStatus(coreapply.PodStatus().
			WithConditions(coreapply.PodCondition().WithType("Mine").WithStatus(corev1.ConditionTrue))), metav1.ApplyOptions{FieldManager: "status"})
		must(t, err)
		equal(t, "conditions", len(status.Status.Conditions), 1)
	})
}

func TestDryRun(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		all := []string{metav1.DryRunAll}
		maps := client.CoreV1().ConfigMaps(ns)
		dry, err := maps.Create(ctx, configMap("a"), metav1.CreateOptions{DryRun: all})
		must(t, err)
		equal(t, "version of a dry object", dry.ResourceVersion, "")
		if dry.UID == "" {
			t.Error("a dry object has no uid")
		}
		_, err = maps.Get(ctx, "a", metav1.GetOptions{})
		refused(t, err, errors.IsNotFound, `configmaps "a" not found`)
		made, err := maps.Create(ctx, configMap("a"), metav1.CreateOptions{})
		must(t, err)
		changed := made.DeepCopy()
		changed.Data["a"] = "2"
		dry, err = maps.Update(ctx, changed, metav1.UpdateOptions{DryRun: all})
		must(t, err)
		equal(t, "dry update", dry.Data["a"], "2")
		dry, err = maps.Patch(ctx, "a", types.MergePatchType, []byte(`{"data":{"a":"3"}}`), metav1.PatchOptions{DryRun: all})
		must(t, err)
		equal(t, "dry patch", dry.Data["a"], "3")
		must(t, maps.Delete(ctx, "a", metav1.DeleteOptions{DryRun: all}))
		read, err := maps.Get(ctx, "a", metav1.GetOptions{})
		must(t, err)
		equal(t, "version after dry writes", read.ResourceVersion, made.ResourceVersion)

		one, err := client.CoreV1().Services(ns).Create(ctx, service("s"), metav1.CreateOptions{DryRun: all})
		must(t, err)
		// A dry run looks for no free address; it answers with the range's own.
		if !strings.HasSuffix(one.Spec.ClusterIP, ".0") {
			t.Errorf("dry address: %s", one.Spec.ClusterIP)
		}
	})
}

func TestListInPieces(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		maps := client.CoreV1().ConfigMaps(ns)
		for i := range 7 {
			_, err := maps.Create(ctx, configMap(fmt.Sprintf("m%d", i)), metav1.CreateOptions{})
			must(t, err)
		}
		var names, version string
		options := metav1.ListOptions{Limit: 3}
		for page := 0; ; page++ {
			list, err := maps.List(ctx, options)
			must(t, err)
			for _, item := range list.Items {
				names += item.Name
			}
			if page == 0 {
				version = list.ResourceVersion
				equal(t, "remaining", *list.RemainingItemCount, 4)
				// Later pages show the state of the first.
				must(t, maps.Delete(ctx, "m6", metav1.DeleteOptions{}))
				_, err = maps.Create(ctx, configMap("m31"), metav1.CreateOptions{})
				must(t, err)
			}
			equal(t, "version of a page", list.ResourceVersion, version)
			if options.Continue = list.Continue; options.Continue == "" {
				break
			}
		}
		equal(t, "names", names, "m0m1m2m3m4m5m6")

		exact, err := maps.List(ctx, metav1.ListOptions{ResourceVersion: version, ResourceVersionMatch: metav1.ResourceVersionMatchExact})
		must(t, err)
		equal(t, "items at the version", len(exact.Items), 7)
		_, err = maps.List(ctx, metav1.ListOptions{Continue: "nonsense", Limit: 1})
		if !errors.IsBadRequest(err) {
			t.Errorf("a token that is none: %v", err)
		}
	})
}
