// Package clients holds Corten's API server against client-go: what a program written for Kubernetes
// does, it must be able to do here, in JSON and in protobuf. The server is the one KUBECONFIG names.
package clients

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

// deadline bounds each test: all waiting is for events, and an event that is missing fails the test.
const deadline = 60 * time.Second

// mediaTypes are the encodings each typed test runs in.
var mediaTypes = map[string]string{
	"json":     runtime.ContentTypeJSON,
	"protobuf": runtime.ContentTypeProtobuf,
}

func TestMain(m *testing.M) {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	os.Exit(m.Run())
}

func config(t *testing.T) *rest.Config {
	t.Helper()
	path := os.Getenv("KUBECONFIG")
	if path == "" {
		t.Skip("KUBECONFIG names no server")
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	must(t, err)
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	return config
}

func typed(t *testing.T, mediaType string) kubernetes.Interface {
	t.Helper()
	config := config(t)
	config.ContentType = mediaType
	config.AcceptContentTypes = mediaType
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	return client
}

func dynamicClient(t *testing.T) dynamic.Interface {
	t.Helper()
	client, err := dynamic.NewForConfig(config(t))
	must(t, err)
	return client
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// namespace makes a namespace with the account that pods need: no controller runs that would make it.
func namespace(t *testing.T, ctx context.Context, client kubernetes.Interface) string {
	t.Helper()
	made, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "clients-"}}, metav1.CreateOptions{})
	must(t, err)
	_, err = client.CoreV1().ServiceAccounts(made.Name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	must(t, err)
	return made.Name
}

// inEach runs a test once for each encoding, in a namespace of its own.
func inEach(t *testing.T, test func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string)) {
	for name, mediaType := range mediaTypes {
		t.Run(name, func(t *testing.T) {
			ctx := within(t)
			client := typed(t, mediaType)
			test(t, ctx, client, namespace(t, ctx, client))
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// refused checks an error's class and its text, to the letter.
func refused(t *testing.T, err error, class func(error) bool, text string) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("no error, want %q", text)
	case !class(err):
		t.Errorf("error of another class: %#v", err)
	case err.Error() != text:
		t.Errorf("error\n got %q\nwant %q", err, text)
	}
}

// until asks again and again for what the API gives no event of, until it is so; the asking is the pace.
func until(t *testing.T, ctx context.Context, what string, so func() bool) {
	t.Helper()
	started := time.Now()
	for asked := 1; !so(); asked++ {
		if ctx.Err() != nil {
			t.Fatalf("%s: not so after %d times", what, asked)
		}
	}
	if took := time.Since(started); took > time.Second {
		t.Logf("%s: took %v", what, took)
	}
}

// next takes one event, or fails at the deadline.
func next[T any](t *testing.T, ctx context.Context, what string, events <-chan T) T {
	t.Helper()
	select {
	case event, open := <-events:
		if !open {
			t.Fatalf("%s: the stream ended", what)
		}
		return event
	case <-ctx.Done():
		t.Fatalf("%s: nothing came", what)
	}
	panic("Fatalf returned")
}
