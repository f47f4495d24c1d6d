package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func ptr[T any](value T) *T { return &value }

// aClass is the IngressClass nginx; what tells other cases apart is changed by the test.
func aClass(change ...func(*networkingv1.IngressClass)) *networkingv1.IngressClass {
	class := &networkingv1.IngressClass{
		ObjectMeta: metav1.ObjectMeta{Name: "nginx"},
		Spec:       networkingv1.IngressClassSpec{Controller: controllerName},
	}
	for _, each := range change {
		each(class)
	}
	return class
}

// anIngress is one of class nginx, made `age` seconds after the epoch, with a part of its spec for each option.
func anIngress(name string, age int, parts ...func(*networkingv1.Ingress)) *networkingv1.Ingress {
	ingress := &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "default", UID: types.UID(name),
			CreationTimestamp: metav1.NewTime(epoch.Add(time.Duration(age) * time.Second)),
		},
		Spec: networkingv1.IngressSpec{IngressClassName: ptr("nginx")},
	}
	for _, part := range parts {
		part(ingress)
	}
	return ingress
}

// rule is a rule for a host with paths written as "Prefix /path web:80".
func rule(host string, paths ...string) func(*networkingv1.Ingress) {
	value := &networkingv1.HTTPIngressRuleValue{}
	for _, path := range paths {
		words := strings.SplitN(path, " ", 3)
		value.Paths = append(value.Paths, networkingv1.HTTPIngressPath{
			PathType: ptr(networkingv1.PathType(words[0])), Path: words[1], Backend: backend(words[2]),
		})
	}
	return func(ingress *networkingv1.Ingress) {
		ingress.Spec.Rules = append(ingress.Spec.Rules, networkingv1.IngressRule{
			Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: value},
		})
	}
}

func backend(to string) networkingv1.IngressBackend {
	name, port, _ := strings.Cut(to, ":")
	service := &networkingv1.IngressServiceBackend{Name: name}
	if number, err := strconv.Atoi(port); err == nil {
		service.Port.Number = int32(number)
	} else {
		service.Port.Name = port
	}
	return networkingv1.IngressBackend{Service: service}
}

func defaultBackend(to string) func(*networkingv1.Ingress) {
	return func(ingress *networkingv1.Ingress) { ingress.Spec.DefaultBackend = ptr(backend(to)) }
}

func withTLS(secret string, hosts ...string) func(*networkingv1.Ingress) {
	return func(ingress *networkingv1.Ingress) {
		ingress.Spec.TLS = append(ingress.Spec.TLS, networkingv1.IngressTLS{Hosts: hosts, SecretName: secret})
	}
}

func annotated(name, value string) func(*networkingv1.Ingress) {
	return func(ingress *networkingv1.Ingress) {
		metav1.SetMetaDataAnnotation(&ingress.ObjectMeta, annotationPrefix+name, value)
	}
}

// aService has ports written as "http:80"; the name may be empty.
func aService(name string, ports ...string) *corev1.Service {
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	for _, each := range ports {
		port, number, _ := strings.Cut(each, ":")
		value, _ := strconv.Atoi(number)
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: port, Port: int32(value)})
	}
	return service
}

// aSlice holds the endpoints of a Service's port, written as "10.0.0.1", with " unready" or " leaving" behind it.
func aSlice(service, name string, port int32, endpoints ...string) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Name: service + "-" + name, Namespace: "default",
			Labels: map[string]string{discoveryv1.LabelServiceName: service},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: ptr(corev1.ProtocolTCP)}},
	}
	for _, each := range endpoints {
		address, state, _ := strings.Cut(each, " ")
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{address},
			Conditions: discoveryv1.EndpointConditions{
				Ready: ptr(state == ""), Serving: ptr(state != "unready"), Terminating: ptr(state == "leaving"),
			},
		})
	}
	return slice
}

func aSecret(name string, chain, key []byte) *corev1.Secret {
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{corev1.TLSCertKey: chain, corev1.TLSPrivateKeyKey: key},
	}
}

// aPair makes a certificate for host names and its key.
func aPair(t *testing.T, names ...string) (chain, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}
