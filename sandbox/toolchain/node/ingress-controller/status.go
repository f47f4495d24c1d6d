package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	networking "k8s.io/client-go/applyconfigurations/networking/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"
)

const (
	// fieldManager marks the status as published from here, also for a later run of the controller.
	fieldManager = "sandbox-ingress-controller"
	// A status that can't be written must not hold back the endpoints for long.
	statusTimeout = 5 * time.Second
)

// publisher tells on the Ingresses themselves where they are served, and what is wrong with them.
type publisher struct {
	client   kubernetes.Interface
	recorder record.EventRecorder
	address  string
	// told are the problems that have had their event; one that is gone and comes back has another.
	told map[string]bool
}

// publish brings the address into the status of all Ingresses that are served, and takes it from those that are not
// any more.
func (p *publisher) publish(
	ctx context.Context, ingresses []*networkingv1.Ingress, served func(*networkingv1.Ingress) bool,
) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	var failed error
	for _, ingress := range ingresses {
		desired := networking.Ingress(ingress.Name, ingress.Namespace)
		switch {
		case served(ingress):
			if p.isPublished(ingress) {
				continue
			}
			entry := networking.IngressLoadBalancerIngress().WithIP(p.address)
			desired.WithStatus(networking.IngressStatus().WithLoadBalancer(
				networking.IngressLoadBalancerStatus().WithIngress(entry)))
		case !isOurs(ingress):
			continue
		}
		// Without a status, the server removes what this manager once applied, and nothing else.
		options := metav1.ApplyOptions{FieldManager: fieldManager, Force: true}
		_, err := p.client.NetworkingV1().Ingresses(ingress.Namespace).ApplyStatus(ctx, desired, options)
		if err != nil && !apierrors.IsNotFound(err) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func (p *publisher) isPublished(ingress *networkingv1.Ingress) bool {
	entries := ingress.Status.LoadBalancer.Ingress
	return len(entries) == 1 && entries[0].IP == p.address && entries[0].Hostname == ""
}

// isOurs tells whether the status is what this controller published, be it in an earlier life.
func isOurs(ingress *networkingv1.Ingress) bool {
	return len(ingress.Status.LoadBalancer.Ingress) > 0 &&
		slices.ContainsFunc(ingress.ManagedFields, func(entry metav1.ManagedFieldsEntry) bool {
			return entry.Manager == fieldManager
		})
}

// report makes an event of each problem that is new.
func (p *publisher) report(problems []problem) {
	now := map[string]bool{}
	for _, each := range problems {
		key := string(each.ingress.UID) + each.message
		if !p.told[key] && !now[key] {
			slog.Warn(each.message, "ingress", each.ingress.Namespace+"/"+each.ingress.Name)
			p.recorder.Event(each.ingress, corev1.EventTypeWarning, each.reason, each.message)
		}
		now[key] = true
	}
	p.told = now
}
