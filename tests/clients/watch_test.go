package clients

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
	"k8s.io/utils/ptr"
)

// recorder passes what an informer sees on as lines.
func recorder(seen chan<- string) cache.ResourceEventHandler {
	name := func(object any) string {
		if last, unknown := object.(cache.DeletedFinalStateUnknown); unknown {
			object = last.Obj
		}
		return object.(metav1.Object).GetName()
	}
	return cache.ResourceEventHandlerDetailedFuncs{
		AddFunc:    func(object any, initial bool) { seen <- fmt.Sprintf("add %s %v", name(object), initial) },
		UpdateFunc: func(_, object any) { seen <- "update " + name(object) },
		DeleteFunc: func(object any) { seen <- "delete " + name(object) },
	}
}

// changes makes one change after the other, and expects an informer to see them in that order.
func changes(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string, seen <-chan string) {
	t.Helper()
	maps := client.CoreV1().ConfigMaps(ns)
	var want []string
	for i := range 20 {
		name := fmt.Sprintf("m%d", i)
		made, err := maps.Create(ctx, configMap(name), metav1.CreateOptions{})
		must(t, err)
		made.Data["a"] = "2"
		made.Labels = map[string]string{"l": "v"}
		_, err = maps.Update(ctx, made, metav1.UpdateOptions{})
		must(t, err)
		must(t, maps.Delete(ctx, name, metav1.DeleteOptions{}))
		want = append(want, "add "+name+" false", "update "+name, "delete "+name)
	}
	for _, line := range want {
		equal(t, "event", next(t, ctx, line, seen), line)
	}
}

func TestInformer(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		_, err := client.CoreV1().ConfigMaps(ns).Create(ctx, configMap("before"), metav1.CreateOptions{})
		must(t, err)
		factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(ns))
		seen := make(chan string, 100)
		informer := factory.Core().V1().ConfigMaps().Informer()
		_, err = informer.AddEventHandler(recorder(seen))
		must(t, err)
		factory.Start(ctx.Done())
		for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
			equal(t, kind.String(), synced, true)
		}
		equal(t, "first", next(t, ctx, "first", seen), "add before true")
		changes(t, ctx, client, ns, seen)
	})
}

func TestMetadataInformer(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		meta, err := metadata.NewForConfig(metadata.ConfigFor(config(t)))
		must(t, err)
		_, err = client.CoreV1().ConfigMaps(ns).Create(ctx, configMap("before"), metav1.CreateOptions{})
		must(t, err)
		resource := corev1.SchemeGroupVersion.WithResource("configmaps")
		one, err := meta.Resource(resource).Namespace(ns).Get(ctx, "before", metav1.GetOptions{})
		must(t, err)
		equal(t, "name", one.Name, "before")
		list, err := meta.Resource(resource).Namespace(ns).List(ctx, metav1.ListOptions{})
		must(t, err)
		equal(t, "listed", len(list.Items), 1)

		factory := metadatainformer.NewFilteredSharedInformerFactory(meta, 0, ns, nil)
		seen := make(chan string, 100)
		_, err = factory.ForResource(resource).Informer().AddEventHandler(recorder(seen))
		must(t, err)
		factory.Start(ctx.Done())
		factory.WaitForCacheSync(ctx.Done())
		equal(t, "first", next(t, ctx, "first", seen), "add before true")
		changes(t, ctx, client, ns, seen)

		patched, err := meta.Resource(resource).Namespace(ns).Patch(ctx, "before", "application/merge-patch+json", []byte(`{"metadata":{"labels":{"x":"y"}}}`), metav1.PatchOptions{})
		must(t, err)
		equal(t, "label", patched.Labels["x"], "y")
		must(t, meta.Resource(resource).Namespace(ns).Delete(ctx, "before", metav1.DeleteOptions{}))
	})
}

// describe names an event by its type and object.
func describe(t *testing.T, event watch.Event) string {
	t.Helper()
	object, ok := event.Object.(metav1.Object)
	if !ok {
		t.Fatalf("%s of %#v", event.Type, event.Object)
	}
	return fmt.Sprintf("%s %s", event.Type, object.GetName())
}

func TestWatchList(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		maps := client.CoreV1().ConfigMaps(ns)
		for _, name := range []string{"b", "a"} {
			_, err := maps.Create(ctx, configMap(name), metav1.CreateOptions{})
			must(t, err)
		}
		stream, err := maps.Watch(ctx, metav1.ListOptions{
			SendInitialEvents: ptr.To(true), AllowWatchBookmarks: true,
			ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		})
		must(t, err)
		defer stream.Stop()
		equal(t, "event", describe(t, next(t, ctx, "a", stream.ResultChan())), "ADDED a")
		equal(t, "event", describe(t, next(t, ctx, "b", stream.ResultChan())), "ADDED b")
		end := next(t, ctx, "bookmark", stream.ResultChan())
		equal(t, "end", end.Type, watch.Bookmark)
		equal(t, "mark", end.Object.(metav1.Object).GetAnnotations()[metav1.InitialEventsAnnotationKey], "true")
		_, err = maps.Create(ctx, configMap("c"), metav1.CreateOptions{})
		must(t, err)
		equal(t, "event", describe(t, next(t, ctx, "c", stream.ResultChan())), "ADDED c")
	})
}

func TestWatchResumes(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		maps := client.CoreV1().ConfigMaps(ns)
		first, err := maps.Create(ctx, configMap("a"), metav1.CreateOptions{})
		must(t, err)
		first.Labels = map[string]string{"in": "yes"}
		labelled, err := maps.Update(ctx, first, metav1.UpdateOptions{})
		must(t, err)
		relabelled := labelled.DeepCopy()
		relabelled.Labels = nil
		_, err = maps.Update(ctx, relabelled, metav1.UpdateOptions{})
		must(t, err)
		must(t, maps.Delete(ctx, "a", metav1.DeleteOptions{}))

		all, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: first.ResourceVersion})
		must(t, err)
		defer all.Stop()
		for _, want := range []string{"MODIFIED a", "MODIFIED a", "DELETED a"} {
			equal(t, "event", describe(t, next(t, ctx, want, all.ResultChan())), want)
		}
		// Through a selector, an object that begins or ceases to match comes or goes.
		some, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: first.ResourceVersion, LabelSelector: "in=yes"})
		must(t, err)
		defer some.Stop()
		for _, want := range []string{"ADDED a", "DELETED a"} {
			equal(t, "event", describe(t, next(t, ctx, want, some.ResultChan())), want)
		}

		// RetryWatcher goes on after a stream's end, which timeoutSeconds brings about.
		lister := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			options.TimeoutSeconds = ptr.To(int64(1))
			return maps.Watch(ctx, options)
		}}
		retry, err := toolswatch.NewRetryWatcherWithContext(ctx, first.ResourceVersion, lister)
		must(t, err)
		defer retry.Stop()
		for _, want := range []string{"MODIFIED a", "MODIFIED a", "DELETED a"} {
			equal(t, "event", describe(t, next(t, ctx, want, retry.ResultChan())), want)
		}

		short, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: labelled.ResourceVersion, TimeoutSeconds: ptr.To(int64(1))})
		must(t, err)
		next(t, ctx, "event", short.ResultChan())
		next(t, ctx, "event", short.ResultChan())
		select {
		case event, open := <-short.ResultChan():
			if open {
				t.Errorf("after the last event: %v", event)
			}
		case <-ctx.Done():
			t.Error("the watch does not end with its timeoutSeconds")
		}
	})
}

func TestRefusedVersions(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		maps := client.CoreV1().ConfigMaps(ns)
		// client-go tries again on this answer, as its Retry-After asks; here once is enough.
		for _, match := range []metav1.ResourceVersionMatch{metav1.ResourceVersionMatchExact, metav1.ResourceVersionMatchNotOlderThan} {
			err := client.CoreV1().RESTClient().Get().Namespace(ns).Resource("configmaps").MaxRetries(0).
				Param("resourceVersion", "1000000000").Param("resourceVersionMatch", string(match)).Do(ctx).Error()
			if !errors.IsTimeout(err) || !errors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
				t.Errorf("a version of the future, %s: %v", match, err)
			}
		}
		_, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: "nonsense"})
		refused(t, err, func(error) bool { return true }, `resourceVersion: Invalid value: "nonsense": strconv.ParseUint: parsing "nonsense": invalid syntax`)
		// A field that the resource cannot select by is refused before the stream begins.
		_, err = maps.Watch(ctx, metav1.ListOptions{FieldSelector: "spec.x=y"})
		refused(t, err, errors.IsBadRequest, `"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"`)
	})
}

// TestTooOld writes more than a server may keep of the history, and finds either all of it or 410: as the
// event ERROR of a watch, and as the end of a RetryWatcher.
func TestTooOld(t *testing.T) {
	ctx := within(t)
	client := typed(t, runtime.ContentTypeProtobuf)
	ns := namespace(t, ctx, client)
	maps := client.CoreV1().ConfigMaps(ns)
	first, err := maps.Create(ctx, configMap("a"), metav1.CreateOptions{})
	must(t, err)
	const changes = 24
	noise := rand.New(rand.NewPCG(1, 2))
	last := first
	for range changes {
		bytes := make([]byte, 900<<10)
		for i := range bytes {
			bytes[i] = byte(noise.Uint32())
		}
		last.BinaryData = map[string][]byte{"noise": bytes}
		last, err = maps.Update(ctx, last, metav1.UpdateOptions{})
		must(t, err)
	}
	stream, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: first.ResourceVersion})
	must(t, err)
	defer stream.Stop()
	event := next(t, ctx, "410", stream.ResultChan())
	if event.Type == watch.Modified {
		for range changes - 1 {
			equal(t, "event", describe(t, next(t, ctx, "a change", stream.ResultChan())), "MODIFIED a")
		}
		return
	}
	equal(t, "event", event.Type, watch.Error)
	if err := errors.FromObject(event.Object); !errors.IsResourceExpired(err) || !strings.HasPrefix(err.Error(), "too old resource version: "+first.ResourceVersion+" (") {
		t.Errorf("an old version: %v", err)
	}
	if _, open := <-stream.ResultChan(); open {
		t.Error("the stream goes on after 410")
	}

	retry, err := toolswatch.NewRetryWatcherWithContext(ctx, first.ResourceVersion, &cache.ListWatch{WatchFuncWithContext: maps.Watch})
	must(t, err)
	defer retry.Stop()
	equal(t, "event", next(t, ctx, "410", retry.ResultChan()).Type, watch.Error)
	select {
	case <-retry.Done():
	case <-ctx.Done():
		t.Error("the retries go on after 410")
	}

	// What is recent still resumes.
	recent, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: last.ResourceVersion})
	must(t, err)
	defer recent.Stop()
	must(t, maps.Delete(ctx, "a", metav1.DeleteOptions{}))
	equal(t, "event", describe(t, next(t, ctx, "the end", recent.ResultChan())), "DELETED a")
}
