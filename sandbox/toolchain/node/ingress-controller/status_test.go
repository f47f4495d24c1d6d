package main

import (
	"slices"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"
)

const published = "192.0.2.1"

// publishOnce publishes to a fake cluster, and tells what the Ingress's status is then and what was asked of the server.
// The fake keeps field managers as a server does, but checks no right and no schema.
func publishOnce(t *testing.T, client *fake.Clientset, served bool) (status []networkingv1.IngressLoadBalancerIngress, writes int) {
	t.Helper()
	ingresses := client.NetworkingV1().Ingresses("default")
	found, err := ingresses.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	client.ClearActions()
	p := publisher{client: client, address: published}
	err = p.publish(t.Context(), []*networkingv1.Ingress{&found.Items[0]}, func(*networkingv1.Ingress) bool { return served })
	if err != nil {
		t.Fatal(err)
	}
	writes = len(client.Actions())
	after, err := ingresses.Get(t.Context(), found.Items[0].Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return after.Status.LoadBalancer.Ingress, writes
}

func TestAddressComesOnceAndGoes(t *testing.T) {
	client := fake.NewClientset(anIngress("one", 1, rule("a.test", "Prefix / web:80")))
	for _, step := range []struct {
		served bool
		want   []networkingv1.IngressLoadBalancerIngress
		writes int
	}{
		{false, nil, 0},
		{true, []networkingv1.IngressLoadBalancerIngress{{IP: published}}, 1},
		{true, []networkingv1.IngressLoadBalancerIngress{{IP: published}}, 0},
		{false, nil, 1},
		{false, nil, 0},
		{true, []networkingv1.IngressLoadBalancerIngress{{IP: published}}, 1},
	} {
		got, writes := publishOnce(t, client, step.served)
		if len(got) != len(step.want) || len(got) == 1 && got[0].IP != step.want[0].IP || writes != step.writes {
			t.Fatalf("served %v: got %v by %d writes, want %v by %d", step.served, got, writes, step.want, step.writes)
		}
	}
}

func TestAnotherControllersAddressStays(t *testing.T) {
	ingress := anIngress("one", 1)
	ingress.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: published}}
	got, writes := publishOnce(t, fake.NewClientset(ingress), false)
	if len(got) != 1 || writes != 0 {
		t.Errorf("got %v by %d writes", got, writes)
	}
}

func TestAnAddressOfOldIsReplaced(t *testing.T) {
	ingress := anIngress("one", 1)
	ingress.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{Hostname: "old.example"}}
	got, _ := publishOnce(t, fake.NewClientset(ingress), true)
	if len(got) != 1 || got[0].IP != published || got[0].Hostname != "" {
		t.Errorf("got %v", got)
	}
}

func TestAnIngressThatIsGoneIsNoError(t *testing.T) {
	p := publisher{client: fake.NewClientset(), address: published}
	all := func(*networkingv1.Ingress) bool { return true }
	if err := p.publish(t.Context(), []*networkingv1.Ingress{anIngress("gone", 1)}, all); err != nil {
		t.Error(err)
	}
}

func TestAProblemIsToldOnceUntilItComesBack(t *testing.T) {
	recorder := record.NewFakeRecorder(10)
	p := publisher{recorder: recorder}
	bad := problem{anIngress("one", 1), "InvalidHost", "a bad host"}
	for _, problems := range [][]problem{{bad, bad}, {bad}, {}, {bad}} {
		p.report(problems)
	}
	close(recorder.Events)
	var got []string
	for event := range recorder.Events {
		got = append(got, event)
	}
	if !slices.Equal(got, []string{"Warning InvalidHost a bad host", "Warning InvalidHost a bad host"}) {
		t.Error(got)
	}
}
