package clients

import (
	"context"
	"testing"

	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"sigs.k8s.io/yaml"
)

var (
	definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	boats       = schema.GroupVersionResource{Group: "clients.test", Version: "v1", Resource: "boats"}
)

const boatDefinition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.clients.test}
spec:
  group: clients.test
  scope: Namespaced
  names: {plural: boats, singular: boat, kind: Boat, shortNames: [bt]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.oars, statusReplicasPath: .status.oars}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            required: [length]
            x-kubernetes-validations:
            - {rule: "self.oars <= self.length", message: more oars than length}
            properties:
              length: {type: integer, minimum: 1}
              oars: {type: integer, default: 2}
              sail: {type: string, enum: [gaff, lateen]}
          status:
            type: object
            properties:
              oars: {type: integer}
              afloat: {type: boolean}
`

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	made := &unstructured.Unstructured{}
	must(t, yaml.Unmarshal([]byte(text), &made.Object))
	// YAML gives float64 for whole numbers; the wire gives int64.
	bytes, err := made.MarshalJSON()
	must(t, err)
	must(t, made.UnmarshalJSON(bytes))
	return made
}

// define makes the custom resource, waits on events until it is served, and takes it away at the end.
func define(t *testing.T, ctx context.Context, client dynamic.Interface) {
	t.Helper()
	_, err := client.Resource(definitions).Create(ctx, object(t, boatDefinition), metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		must(t, client.Resource(definitions).Delete(ctx, "boats.clients.test", metav1.DeleteOptions{}))
		stream, err := client.Resource(definitions).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=boats.clients.test"})
		must(t, err)
		defer stream.Stop()
		// None is left, or it ends: a watch without a version begins with what there is.
		list, err := client.Resource(definitions).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=boats.clients.test"})
		must(t, err)
		for len(list.Items) > 0 && next(t, ctx, "the definition's end", stream.ResultChan()).Type != watch.Deleted {
		}
	})
	stream, err := client.Resource(definitions).Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=boats.clients.test"})
	must(t, err)
	defer stream.Stop()
	for {
		event := next(t, ctx, "Established", stream.ResultChan())
		conditions, _, _ := unstructured.NestedSlice(event.Object.(*unstructured.Unstructured).Object, "status", "conditions")
		for _, condition := range conditions {
			fields := condition.(map[string]any)
			if fields["type"] == "Established" && fields["status"] == "True" {
				// Upstream's handlers follow the condition, a moment later.
				until(t, ctx, "boats are served", func() bool {
					_, err := client.Resource(boats).List(ctx, metav1.ListOptions{})
					return err == nil
				})
				return
			}
		}
	}
}

func TestCustomResource(t *testing.T) {
	ctx := within(t)
	client := dynamicClient(t)
	ns := namespace(t, ctx, typed(t, runtime.ContentTypeJSON))
	define(t, ctx, client)
	resource := client.Resource(boats).Namespace(ns)
	boat := func(spec string) *unstructured.Unstructured {
		return object(t, "apiVersion: clients.test/v1\nkind: Boat\nmetadata: {name: b}\n"+spec)
	}

	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, ns, nil)
	seen := make(chan string, 100)
	_, err := factory.ForResource(boats).Informer().AddEventHandler(recorder(seen))
	must(t, err)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())

	for spec, text := range map[string]string{
		"spec: {}":                        `Boat.clients.test "b" is invalid: [spec.length: Required value, <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]`,
		"spec: {length: 0, oars: 0}":      `Boat.clients.test "b" is invalid: spec.length: Invalid value: 0: spec.length in body should be greater than or equal to 1`,
		"spec: {length: 1}":               `Boat.clients.test "b" is invalid: spec: Invalid value: more oars than length`,
		"spec: {length: 9, sail: square}": `Boat.clients.test "b" is invalid: [spec.sail: Unsupported value: "square": supported values: "gaff", "lateen", <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]`,
		"{}":                              `Boat.clients.test "b" is invalid: [spec: Required value, <nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]`,
	} {
		if spec == "{}" {
			spec = ""
		}
		_, err := resource.Create(ctx, boat(spec), metav1.CreateOptions{})
		refused(t, err, errors.IsInvalid, text)
	}
	_, err = resource.Create(ctx, boat("spec: {length: 9, mast: 1}"), metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
	refused(t, err, errors.IsBadRequest, `Boat in version "v1" cannot be handled as a Boat: strict decoding error: unknown field "spec.mast"`)

	made, err := resource.Create(ctx, boat("spec: {length: 9, mast: 1}\nstatus: {afloat: true}"), metav1.CreateOptions{})
	must(t, err)
	equal(t, "event", next(t, ctx, "add", seen), "add b false")
	oars, _, _ := unstructured.NestedInt64(made.Object, "spec", "oars")
	equal(t, "default", oars, 2)
	_, unknown, _ := unstructured.NestedFieldNoCopy(made.Object, "spec", "mast")
	equal(t, "unknown field is kept", unknown, false)
	_, status, _ := unstructured.NestedMap(made.Object, "status")
	equal(t, "status by way of create", status, false)
	equal(t, "generation", made.GetGeneration(), 1)

	must(t, unstructured.SetNestedField(made.Object, true, "status", "afloat"))
	must(t, unstructured.SetNestedField(made.Object, int64(20), "spec", "length"))
	updated, err := resource.UpdateStatus(ctx, made, metav1.UpdateOptions{})
	must(t, err)
	equal(t, "event", next(t, ctx, "update", seen), "update b")
	afloat, _, _ := unstructured.NestedBool(updated.Object, "status", "afloat")
	equal(t, "status", afloat, true)
	length, _, _ := unstructured.NestedInt64(updated.Object, "spec", "length")
	equal(t, "spec by way of status", length, 9)
	equal(t, "generation", updated.GetGeneration(), 1)
	_, err = resource.Update(ctx, made, metav1.UpdateOptions{})
	refused(t, err, errors.IsConflict, `Operation cannot be fulfilled on boats.clients.test "b": the object has been modified; please apply your changes to the latest version and try again`)

	scale, err := resource.Patch(ctx, "b", types.MergePatchType, []byte(`{"spec":{"replicas":4}}`), metav1.PatchOptions{}, "scale")
	must(t, err)
	equal(t, "kind of the scale", scale.GetKind(), "Scale")
	_, err = resource.Patch(ctx, "b", types.StrategicMergePatchType, []byte(`{}`), metav1.PatchOptions{})
	if !errors.IsUnsupportedMediaType(err) {
		t.Errorf("a strategic patch: %v", err)
	}
	equal(t, "event", next(t, ctx, "update", seen), "update b")

	applied, err := resource.Apply(ctx, "b", boat("spec: {sail: gaff, length: 9}"), metav1.ApplyOptions{FieldManager: "sailor", Force: true})
	must(t, err)
	oars, _, _ = unstructured.NestedInt64(applied.Object, "spec", "oars")
	equal(t, "oars", oars, 4)
	equal(t, "event", next(t, ctx, "update", seen), "update b")
	_, err = resource.Apply(ctx, "b", boat("spec: {sail: lateen, length: 9}"), metav1.ApplyOptions{FieldManager: "other"})
	refused(t, err, errors.IsConflict, `Apply failed with 1 conflict: conflict with "sailor": .spec.sail`)

	applied.SetFinalizers([]string{"clients.test/hold"})
	_, err = resource.Update(ctx, applied, metav1.UpdateOptions{})
	must(t, err)
	equal(t, "event", next(t, ctx, "update", seen), "update b")
	must(t, resource.Delete(ctx, "b", metav1.DeleteOptions{}))
	equal(t, "event", next(t, ctx, "update", seen), "update b")
	_, err = resource.Patch(ctx, "b", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	must(t, err)
	equal(t, "event", next(t, ctx, "delete", seen), "delete b")
}
