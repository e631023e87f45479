package clients

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/openapi3"
	"k8s.io/client-go/restmapper"
)

func TestDiscovery(t *testing.T) {
	client, err := discovery.NewDiscoveryClientForConfig(config(t))
	must(t, err)
	version, err := client.ServerVersion()
	must(t, err)
	equal(t, "version", version.Major+"."+version.Minor, "1.36")
	groups, lists, failed, err := client.GroupsAndMaybeResources()
	must(t, err)
	equal(t, "failed groups", len(failed), 0)
	if lists == nil {
		t.Fatal("the discovery is not aggregated")
	}

	// Both forms name the same groups and resources.
	client.UseLegacyDiscovery = true
	legacy, err := client.ServerGroups()
	must(t, err)
	names := func(list *metav1.APIGroupList) string {
		var names []string
		for _, group := range list.Groups {
			if strings.HasSuffix(group.Name, ".test") {
				continue // comes and goes with other tests
			}
			for _, version := range group.Versions {
				names = append(names, version.GroupVersion)
			}
		}
		return strings.Join(names, " ")
	}
	equal(t, "groups", names(legacy), names(groups))
	for version, list := range lists {
		if strings.HasSuffix(version.Group, ".test") {
			continue
		}
		old, err := client.ServerResourcesForGroupVersion(version.String())
		must(t, err)
		resources := func(list *metav1.APIResourceList) string {
			var lines []string
			for _, resource := range list.APIResources {
				// client-go gives a subresource of the aggregated form its parent's singular name.
				singular := resource.SingularName
				if strings.Contains(resource.Name, "/") {
					singular = ""
				}
				lines = append(lines, resource.Name+"/"+resource.Kind+"/"+singular+"/"+strings.Join(resource.Verbs, ","))
			}
			slices.Sort(lines)
			return strings.Join(lines, " ")
		}
		equal(t, version.String(), resources(old), resources(list))
	}

	mapping, err := restmapper.GetAPIGroupResources(client)
	must(t, err)
	mapped, err := restmapper.NewDiscoveryRESTMapper(mapping).RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"})
	must(t, err)
	equal(t, "resource", mapped.Resource.String(), "apps/v1, Resource=deployments")
	equal(t, "scope", mapped.Scope.Name(), "namespace")
}

func TestOpenAPI(t *testing.T) {
	ctx := within(t)
	client, err := discovery.NewDiscoveryClientForConfig(config(t))
	must(t, err)
	root := openapi3.NewRoot(client.OpenAPIV3())
	versions, err := root.GroupVersions()
	must(t, err)
	for _, want := range []schema.GroupVersion{{Version: "v1"}, {Group: "apps", Version: "v1"}, {Group: "apiextensions.k8s.io", Version: "v1"}} {
		if !slices.Contains(versions, want) {
			t.Errorf("no page of %v", want)
		}
		page, err := root.GVSpec(want)
		must(t, err)
		if len(page.Paths.Paths) == 0 || len(page.Components.Schemas) == 0 {
			t.Errorf("the page of %v is empty", want)
		}
	}
	// Version 2 comes as protobuf to this client.
	document, err := client.OpenAPISchema()
	must(t, err)
	equal(t, "swagger", document.Swagger, "2.0")

	// A new resource appears in discovery and has a page.
	dynamic := dynamicClient(t)
	namespace(t, ctx, typed(t, runtime.ContentTypeJSON))
	define(t, ctx, dynamic)
	until(t, ctx, "discovery", func() bool {
		list, err := client.ServerResourcesForGroupVersion("clients.test/v1")
		return err == nil && len(list.APIResources) == 3
	})
	until(t, ctx, "page", func() bool {
		page, err := openapi3.NewRoot(client.OpenAPIV3()).GVSpec(schema.GroupVersion{Group: "clients.test", Version: "v1"})
		if err != nil {
			return false
		}
		_, described := page.Components.Schemas["test.clients.v1.Boat"]
		return described
	})
}
