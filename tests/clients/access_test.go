package clients

import (
	"context"
	"testing"
	"time"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	coordination "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/ptr"
)

func TestEviction(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		pods := client.CoreV1().Pods(ns)
		evict := func(name string) error {
			return pods.EvictV1(ctx, &policy.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}})
		}
		refused(t, evict("p"), errors.IsNotFound, `pods "p" not found`)
		for _, name := range []string{"p", "q"} {
			made, err := pods.Create(ctx, pod(name), metav1.CreateOptions{})
			must(t, err)
			// A pending pod goes whatever the budget says; a ready one counts.
			made.Status.Phase = corev1.PodRunning
			made.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
			_, err = pods.UpdateStatus(ctx, made, metav1.UpdateOptions{})
			must(t, err)
		}
		budgets := client.PolicyV1().PodDisruptionBudgets(ns)
		budget, err := budgets.Create(ctx, &policy.PodDisruptionBudget{
			ObjectMeta: metav1.ObjectMeta{Name: "b"},
			Spec: policy.PodDisruptionBudgetSpec{
				MinAvailable: ptr.To(intstr.FromInt32(1)),
				Selector:     &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}},
			},
		}, metav1.CreateOptions{})
		must(t, err)
		budget.Status = policy.PodDisruptionBudgetStatus{ObservedGeneration: 1, CurrentHealthy: 2, DesiredHealthy: 1, ExpectedPods: 2, DisruptionsAllowed: 1}
		_, err = budgets.UpdateStatus(ctx, budget, metav1.UpdateOptions{})
		must(t, err)

		must(t, evict("p"))
		budget, err = budgets.Get(ctx, "b", metav1.GetOptions{})
		must(t, err)
		equal(t, "disruptions left", budget.Status.DisruptionsAllowed, 0)
		if _, noted := budget.Status.DisruptedPods["p"]; !noted {
			t.Error("the budget does not note the pod")
		}
		err = evict("q")
		refused(t, err, errors.IsTooManyRequests, "Cannot evict pod as it would violate the pod's disruption budget.")
		equal(t, "cause", errors.HasStatusCause(err, policy.DisruptionBudgetCause), true)
	})
}

// as is the admin's client acting as another.
func as(t *testing.T, mediaType string, who rest.ImpersonationConfig) kubernetes.Interface {
	t.Helper()
	config := config(t)
	config.ContentType = mediaType
	config.Impersonate = who
	client, err := kubernetes.NewForConfig(config)
	must(t, err)
	return client
}

func TestTokens(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		issued, err := client.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "default", &authentication.TokenRequest{
			Spec: authentication.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(600))},
		}, metav1.CreateOptions{})
		must(t, err)
		if left := time.Until(issued.Status.ExpirationTimestamp.Time); left < 9*time.Minute || left > 11*time.Minute {
			t.Errorf("the token lasts %v", left)
		}
		review := func(token string, audiences ...string) authentication.TokenReviewStatus {
			answer, err := client.AuthenticationV1().TokenReviews().Create(ctx, &authentication.TokenReview{
				Spec: authentication.TokenReviewSpec{Token: token, Audiences: audiences},
			}, metav1.CreateOptions{})
			must(t, err)
			return answer.Status
		}
		name := "system:serviceaccount:" + ns + ":default"
		good := review(issued.Status.Token)
		equal(t, "authenticated", good.Authenticated, true)
		equal(t, "user", good.User.Username, name)
		if len(good.User.Extra["authentication.kubernetes.io/credential-id"]) != 1 {
			t.Errorf("extra: %v", good.User.Extra)
		}
		equal(t, "another audience", review(issued.Status.Token, "elsewhere").Authenticated, false)
		equal(t, "no token", review("nonsense").Authenticated, false)

		_, err = client.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "default", &authentication.TokenRequest{
			Spec: authentication.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(1))},
		}, metav1.CreateOptions{})
		if !errors.IsInvalid(err) {
			t.Errorf("a token of one second: %v", err)
		}

		bearer := rest.AnonymousClientConfig(config(t))
		bearer.BearerToken = issued.Status.Token
		self, err := kubernetes.NewForConfig(bearer)
		must(t, err)
		who, err := self.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authentication.SelfSubjectReview{}, metav1.CreateOptions{})
		must(t, err)
		equal(t, "self", who.Status.UserInfo.Username, name)
		_, err = self.CoreV1().Secrets(ns).List(ctx, metav1.ListOptions{})
		refused(t, err, errors.IsForbidden, `secrets is forbidden: User "`+name+`" cannot list resource "secrets" in API group "" in the namespace "`+ns+`"`)
		// With its account a token ends; one that was used may live on in a cache for some seconds.
		unused, err := client.CoreV1().ServiceAccounts(ns).CreateToken(ctx, "default", &authentication.TokenRequest{}, metav1.CreateOptions{})
		must(t, err)
		must(t, client.CoreV1().ServiceAccounts(ns).Delete(ctx, "default", metav1.DeleteOptions{}))
		until(t, ctx, "the token ends", func() bool { return !review(unused.Status.Token).Authenticated })
		bearer.BearerToken = "nonsense"
		nobody, err := kubernetes.NewForConfig(bearer)
		must(t, err)
		_, err = nobody.CoreV1().Secrets(ns).List(ctx, metav1.ListOptions{})
		refused(t, err, errors.IsUnauthorized, "Unauthorized")
	})
}

func TestAccess(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		may := func(client kubernetes.Interface, verb string) bool {
			answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorization.SelfSubjectAccessReview{
				Spec: authorization.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorization.ResourceAttributes{
					Namespace: ns, Verb: verb, Resource: "configmaps",
				}},
			}, metav1.CreateOptions{})
			must(t, err)
			return answer.Status.Allowed
		}
		jane := as(t, runtime.ContentTypeProtobuf, rest.ImpersonationConfig{UserName: "jane", Groups: []string{"sailors-" + ns}, Extra: map[string][]string{"Scope/x": {"1"}}})
		equal(t, "admin may", may(client, "delete"), true)
		equal(t, "jane may", may(jane, "get"), false)
		_, err := jane.CoreV1().ConfigMaps(ns).Get(ctx, "a", metav1.GetOptions{})
		refused(t, err, errors.IsForbidden, `configmaps "a" is forbidden: User "jane" cannot get resource "configmaps" in API group "" in the namespace "`+ns+`"`)

		// The authorizer learns of a binding by a watch: upstream gives no order, so ask until it knows.
		_, err = client.RbacV1().Roles(ns).Create(ctx, &rbac.Role{
			ObjectMeta: metav1.ObjectMeta{Name: "r"},
			Rules:      []rbac.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "create"}}},
		}, metav1.CreateOptions{})
		must(t, err)
		_, err = client.RbacV1().RoleBindings(ns).Create(ctx, &rbac.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "r"},
			RoleRef:    rbac.RoleRef{APIGroup: rbac.GroupName, Kind: "Role", Name: "r"},
			Subjects:   []rbac.Subject{{Kind: rbac.GroupKind, APIGroup: rbac.GroupName, Name: "sailors-" + ns}},
		}, metav1.CreateOptions{})
		must(t, err)
		until(t, ctx, "jane may", func() bool { return may(jane, "get") })
		equal(t, "jane may delete", may(jane, "delete"), false)
		_, err = jane.CoreV1().ConfigMaps(ns).Create(ctx, configMap("a"), metav1.CreateOptions{})
		must(t, err)
		_, err = jane.RbacV1().Roles(ns).List(ctx, metav1.ListOptions{})
		if !errors.IsForbidden(err) {
			t.Errorf("roles: %v", err)
		}
		who, err := jane.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authentication.SelfSubjectReview{}, metav1.CreateOptions{})
		must(t, err)
		equal(t, "user", who.Status.UserInfo.Username, "jane")
		equal(t, "extra", who.Status.UserInfo.Extra["scope/x"][0], "1")
		rules, err := jane.AuthorizationV1().SelfSubjectRulesReviews().Create(ctx, &authorization.SelfSubjectRulesReview{Spec: authorization.SelfSubjectRulesReviewSpec{Namespace: ns}}, metav1.CreateOptions{})
		must(t, err)
		found := false
		for _, rule := range rules.Status.ResourceRules {
			found = found || len(rule.Resources) == 1 && rule.Resources[0] == "configmaps"
		}
		equal(t, "rule for configmaps", found, true)
		local, err := client.AuthorizationV1().LocalSubjectAccessReviews(ns).Create(ctx, &authorization.LocalSubjectAccessReview{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns},
			Spec: authorization.SubjectAccessReviewSpec{Groups: []string{"sailors-" + ns}, ResourceAttributes: &authorization.ResourceAttributes{
				Namespace: ns, Verb: "get", Resource: "configmaps",
			}},
		}, metav1.CreateOptions{})
		must(t, err)
		equal(t, "group may", local.Status.Allowed, true)
	})
}

func TestLeaderElection(t *testing.T) {
	inEach(t, func(t *testing.T, ctx context.Context, client kubernetes.Interface, ns string) {
		events := make(chan string, 100)
		candidate := func(name string) context.CancelFunc {
			ctx, resign := context.WithCancel(ctx)
			elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
				Lock: &resourcelock.LeaseLock{
					LeaseMeta:  metav1.ObjectMeta{Name: "lock", Namespace: ns},
					Client:     client.CoordinationV1(),
					LockConfig: resourcelock.ResourceLockConfig{Identity: name},
				},
				LeaseDuration: 3 * time.Second, RenewDeadline: 2 * time.Second, RetryPeriod: 200 * time.Millisecond,
				ReleaseOnCancel: true,
				Callbacks: leaderelection.LeaderCallbacks{
					OnStartedLeading: func(context.Context) { events <- name + " leads" },
					OnStoppedLeading: func() { events <- name + " stops" },
				},
			})
			must(t, err)
			go elector.Run(ctx)
			return resign
		}
		first := candidate("one")
		equal(t, "event", next(t, ctx, "a leader", events), "one leads")
		second := candidate("two")
		defer second()
		leases := client.CoordinationV1().Leases(ns)
		stream, err := leases.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=lock"})
		must(t, err)
		defer stream.Stop()
		// The first is seen to renew its lease while the second waits.
		for range 3 {
			lease := next(t, ctx, "a renewal", stream.ResultChan()).Object.(*coordination.Lease)
			equal(t, "holder", ptr.Deref(lease.Spec.HolderIdentity, ""), "one")
		}
		first()
		got := map[string]bool{next(t, ctx, "a change", events): true, next(t, ctx, "a change", events): true}
		if !got["one stops"] || !got["two leads"] {
			t.Errorf("events: %v", got)
		}
		lease, err := leases.Get(ctx, "lock", metav1.GetOptions{})
		must(t, err)
		equal(t, "holder", *lease.Spec.HolderIdentity, "two")
		if *lease.Spec.LeaseTransitions < 1 {
			t.Errorf("transitions: %d", *lease.Spec.LeaseTransitions)
		}
	})
}
